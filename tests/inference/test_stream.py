"""A video through a model: in order, in bounded memory, with new starts where they belong."""

import gc
import logging
import threading
import weakref

import numpy as np
import psutil
import pytest
import torch

from inference.clip import Clip
from model.tiny import PLAIN, OneSize, Pan, hooks_on, stream, tiny, video
from netwarp import VideoModel, segment
from netwarp.errors import ConfigurationError, InputError
from netwarp.inference.sliding import Sliding
from netwarp.model import FlowCNN


def labels_by_step(model, frames):
    """What `step` says, and nothing else of the engine."""
    return [logits[0].argmax(0).numpy() for logits in stream(model, frames)]


@pytest.mark.parametrize("options", [{}, {"memory": "fused"}, {"layers": ["stem", "output"]}, {"layers": []}], ids=str)
@pytest.mark.parametrize("overlap", [True, False], ids=["overlap", "in turn"])
def test_equals_steps_by_hand(options, overlap, pictures):
    model, frames = video(**options), pictures(5)
    results = list(segment(Clip(frames), model, overlap=overlap))
    for result, expected in zip(results, labels_by_step(model, frames), strict=True):
        assert result.labels.dtype == np.uint8
        assert np.array_equal(result.labels, expected)
    assert len(np.unique(results[0].labels)) > 1


def test_frames_numbers_times_and_names_pass_through(pictures):
    frames = pictures(4)
    times = [0.0, 0.04, 0.13, 0.12]
    clip = Clip(frames, times.__getitem__, "frame{:03d}".format)
    results = list(segment(clip, video()))
    assert [r.index for r in results] == [0, 1, 2, 3]
    assert [r.time for r in results] == times
    assert [r.name for r in results] == ["frame000", "frame001", "frame002", "frame003"]
    for result, frame in zip(results, frames, strict=True):
        assert np.array_equal(result.frame, frame[0].permute(1, 2, 0).numpy())
        assert result.labels.shape == result.frame.shape[:2]
    assert [r.fresh for r in results] == ["first frame", None, None, None]
    assert all(r.base_labels is None for r in results)


@pytest.mark.parametrize(
    ("size", "reason", "said"), [((32, 48), "scene cut", "scene cut"), ((24, 40), "change of size", "40×24")]
)
def test_another_scene_or_size_starts_anew_and_says_so(size, reason, said, pictures, caplog):
    model = video(memory="fused")
    before, after = pictures(3, seed=1), pictures(3, *size, seed=2)
    with caplog.at_level(logging.INFO, "netwarp"):
        results = list(segment(Clip(before + after), model))
    assert [r.fresh for r in results] == ["first frame", None, None, reason, None, None]
    expected = labels_by_step(model, before) + labels_by_step(model, after)
    assert all(np.array_equal(r.labels, e) for r, e in zip(results, expected, strict=True))
    assert "frame 3" in caplog.text
    assert said in caplog.text


def test_cuts_are_not_looked_for_where_that_is_not_asked(pictures):
    model, before, after = video(memory="fused"), pictures(3, seed=1), pictures(3, seed=2)
    undetected = list(segment(Clip(before + after), model, detect_cuts=False))
    assert [r.fresh for r in undetected] == ["first frame", *[None] * 5]
    whole = labels_by_step(model, before + after)
    assert all(np.array_equal(r.labels, e) for r, e in zip(undetected, whole, strict=True))
    assert not np.array_equal(undetected[3].labels, labels_by_step(model, after)[0])


def test_compare_gives_the_network_frame_by_frame(pictures):
    net, frames = tiny(), pictures(4)
    model = video(net=net)
    results = list(segment(Clip(frames), model, compare=True))
    with torch.no_grad():
        for result, frame in zip(results, frames, strict=True):
            alone, _ = VideoModel(tiny(), [], preprocess=PLAIN).step(frame)
            assert np.array_equal(result.base_labels, alone[0].argmax(0).numpy())
    assert any(not np.array_equal(r.labels, r.base_labels) for r in results)
    assert np.array_equal(results[0].labels, results[0].base_labels)
    assert hooks_on(net) == 1  # those of the model, and no others


def test_compare_with_a_network_that_only_takes_frames_of_one_size(pictures):
    model = video(["net.mid"], net=OneSize((32, 48)), example_size=(32, 48))
    assert len(list(segment(Clip(pictures(2)), model, compare=True))) == 2


def test_in_windows(pictures):
    model, frames = Sliding(video(memory="fused"), 20, scales=(1, 1.5), flip=True), pictures(3)
    expected = labels_by_step(model, frames)
    alone = Sliding(VideoModel(tiny(), [], preprocess=PLAIN), 20, scales=(1, 1.5), flip=True)
    for result, labels, frame in zip(segment(Clip(frames), model, compare=True), expected, frames, strict=True):
        assert np.array_equal(result.labels, labels)
        assert np.array_equal(result.base_labels, alone.step(frame)[0][0].argmax(0).numpy())


def test_in_windows_a_cut_starts_anew_and_lets_the_old_memories_go_first(pictures):
    model = Sliding(video(), 20)
    before, after = pictures(2, seed=1), pictures(2, seed=2)
    kept, alive = [], []
    step = model.step

    def noted(frame, state=None, flow=None, *, index=None):
        alive.append(sum(memory() is not None for memory in kept) if state is None else None)
        found, state = step(frame, state, flow, index=index)
        kept[:] = [weakref.ref(memory) for scale in state.look() for memory in scale]
        return found, state

    model.step = noted
    results = list(segment(Clip(before + after), model))
    assert [r.fresh for r in results] == ["first frame", None, "scene cut", None]
    assert alive == [0, None, 0, None]


def test_any_network_gets_the_mode_without_training(pictures):
    net, frames = tiny(), pictures(3, 48, 64)
    results = list(segment(Clip(frames), net, edges="off"))
    expected = labels_by_step(VideoModel(tiny(), training_free=True), frames)
    assert all(np.array_equal(r.labels, e) for r, e in zip(results, expected, strict=True))
    assert hooks_on(net) == 0


def test_many_classes_have_wider_labels(pictures):
    (result,) = segment(Clip(pictures(1)), video(net=tiny(classes=300)))
    assert result.labels.dtype == np.int32


def test_evaluation_mode_and_no_graph(pictures):
    model = video().train()
    results = segment(Clip(pictures(2)), model)
    assert not model.training
    next(results)
    assert torch.is_grad_enabled()
    next(results)
    assert all(p.grad is None for p in model.parameters())


class TestTheSource:
    def test_is_read_no_further_than_asked(self, pictures):
        read = []

        def frames():
            for index, frame in enumerate(pictures(9)):
                read.append(index)
                yield frame

        results = segment(Clip(frames()), video(), overlap=False)
        assert read == []
        next(results), next(results)
        assert read == [0, 1]
        results = segment(Clip(frames()), video())
        assert read == [0, 1]
        read.clear()
        next(results), next(results)
        # Two results; what waits behind reading and looking back, and what each of the two has in its hands.
        assert len(read) <= 2 + 2 + 2
        results.close()

    @pytest.mark.parametrize("end", ["last frame", "closed", "dropped", "error"])
    def test_is_closed_and_no_thread_is_left_whatever_ends_it(self, end, pictures):
        def broken():
            yield from pictures(3)
            raise InputError("damaged")

        before, clip = threading.active_count(), Clip(broken() if end == "error" else pictures(9))
        results = segment(clip, video())
        next(results)
        assert clip.closed == 0
        assert threading.active_count() > before
        if end == "error":
            with pytest.raises(InputError, match="damaged"):
                list(results)
        elif end == "closed":
            results.close()
        elif end == "last frame":
            assert len(list(results)) == 8
        del results
        gc.collect()
        assert clip.closed == 1
        assert threading.active_count() == before

    def test_flow_of_the_next_frame_is_estimated_while_the_network_runs(self, pictures):
        """The network does not return before the flow of the next frame was asked for: in turn it never would."""
        asked, network = threading.Semaphore(0), tiny()

        class Noted(Pan):
            def __call__(self, current, previous, index=None):
                asked.release()
                assert threading.current_thread().name == "netwarp-flow"
                return super().__call__(current, previous, index)

        model = video(net=network, flow=Noted())
        frames = pictures(5)

        def wait_for_the_next(module, inputs, output):
            if not last:
                assert asked.acquire(timeout=10)

        last = False
        handle = network.register_forward_hook(wait_for_the_next)
        for result in segment(Clip(frames), model):
            last = result.index == len(frames) - 2
        handle.remove()
        assert result.index == 4

    def test_says_what_was_lost(self, pictures, caplog):
        list(segment(Clip(pictures(2), loss="3 frames are damaged"), video()))
        assert [r.message for r in caplog.records if r.levelno == logging.WARNING] == ["3 frames are damaged"]

    def test_that_does_not_exist_is_refused_at_the_call(self, tmp_path):
        with pytest.raises(InputError, match="does not exist"):
            segment(tmp_path / "no.mp4", video())

    def test_of_no_frames_gives_no_results(self):
        assert list(segment(Clip([]), video())) == []


def test_a_network_that_cannot_be_used_is_refused_at_the_call(pictures):
    with pytest.raises(ConfigurationError):
        segment(Clip(pictures(1)), torch.nn.Linear(3, 3))


def test_an_array_that_is_filled_again_does_not_change_the_past(pictures):
    frames = pictures(4, 48, 64)
    model = video(flow="dis")

    def one_buffer():
        buffer = np.empty((48, 64, 3), np.uint8)
        for frame in frames:
            buffer[:] = frame[0].permute(1, 2, 0).numpy()
            yield buffer

    expected = labels_by_step(model, frames)
    for result, labels in zip(segment(Clip(one_buffer()), model), expected, strict=True):
        assert np.array_equal(result.labels, labels)


def test_300_frames_in_flat_memory():
    """After the first 100 frames nothing is left behind.

    Tensors may differ by those of the frames that are under way. What lies outside of Python shows in the resident
    memory, which breathes by a few MB: the bound is well above that, and below the 20 MB that one array of a
    frame's size (128 × 192 × 4 bytes, as a label map or a plane of anything has) would take if every step kept it.
    """
    h, w, count = 128, 192, 300
    scene = torch.nn.functional.interpolate(torch.rand(1, 3, 16, 60) * 255, (h, w + 160), mode="bicubic")
    scene = scene[0].clamp(0, 255).permute(1, 2, 0).numpy().astype(np.uint8)

    def frames():
        for index in range(count):
            x = abs(index % 300 - 150)  # there and back again
            yield scene[:, x : x + w].copy()

    def tensors():
        gc.collect()
        return sum(type(thing) is torch.Tensor for thing in gc.get_objects())

    process = psutil.Process()
    model = video(["mid", "log_probs"], flow="dis:ultrafast", flow_cnn=FlowCNN(stride=4), memory="fused")
    resident, alive, past, fresh = [], [], [], 0
    for result in segment(Clip(frames()), model, compare=True):
        fresh += result.fresh is not None
        if result.index % 100 == 99:
            resident.append(process.memory_info().rss)
        if result.index in (99, 199, 299):
            alive.append(tensors())
        if result.index < 10:
            past.append(weakref.ref(result.frame))
    assert result.index == count - 1
    assert fresh == 1  # the state was handed on all the time
    assert max(alive) - min(alive) < 40
    assert not any(frame() is not None for frame in past)
    assert max(resident) - resident[0] < 15e6
