"""Several models over clips, scored as each alone would be."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from inference.labelled import CLASSES, MadeClip, data_of
from metrics.feeding import slow_iou
from model.tiny import Pan, rough_flow, stream, video
from netwarp.errors import ConfigurationError, InputError
from netwarp.evaluation.evaluate import evaluate, frames_to_run
from netwarp.flow import DISFlow, write_flo
from netwarp.metrics import TrimapCurve, temporal_consistency, trimap, video_consistency


def labels_of(model, frames, flows=None):
    known = flows or {}
    return [logits.argmax(1) for logits in stream(model.eval(), frames, map(known.get, range(len(frames))))]


def iou_by_counting(predictions, targets):
    """Intersection over union of each class, over all frames at once, in percent."""
    return slow_iou(*(np.concatenate([each.ravel() for each in maps]) for maps in (predictions, targets)), CLASSES)


def expected_iou(labels, clip):
    return iou_by_counting([labels[i][0].numpy() for i in clip.labels], list(clip.labels.values()))


@pytest.fixture
def two_clips(pictures):
    return MadeClip(pictures(4, seed=1), {1, 3}, seed=1), MadeClip(pictures(3, seed=2), {0, 2}, seed=2)


def tensors(clip):
    return [torch.from_numpy(image).permute(2, 0, 1)[None] for image in clip.images]


@pytest.mark.parametrize("workers", [1, 2])
def test_scores_are_those_of_each_model_alone(two_clips, workers):
    models = {"fused": video(memory="fused"), "alone": video([]), "other": video(["stem"])}
    scores = evaluate(models, data_of(*two_clips), widths=(1, 3), workers=workers)
    assert list(scores) == ["fused", "alone", "other"]
    for name, model in models.items():
        predictions, targets, consistency, curve = [], [], [], TrimapCurve(CLASSES, (1, 3))
        for clip in two_clips:
            frames = tensors(clip)
            labels = labels_of(model, frames)  # every clip starts with no state
            predictions += [labels[i][0].numpy() for i in clip.labels]
            targets += list(clip.labels.values())
            consistency += [
                temporal_consistency(labels[t - 1], labels[t], DISFlow("medium")(frames[t], frames[t - 1]))
                for t in range(1, len(frames))
            ]
        for pair in zip(predictions, targets, strict=True):
            curve.update(*pair)
        assert scores[name]["tiou"] == curve.compute()
        for width in (1, 3):
            near = [np.where(trimap(torch.from_numpy(target), width).numpy(), target, 255) for target in targets]
            by_class = scores[name]["tiou_per_class"][width]
            assert by_class == pytest.approx(iou_by_counting(predictions, near), abs=1e-9)
            assert np.mean(by_class) == pytest.approx(scores[name]["tiou"][width])
        expected = iou_by_counting(predictions, targets)
        assert scores[name]["per_class"] == pytest.approx(expected, abs=1e-9)
        assert scores[name]["miou"] == pytest.approx(sum(expected) / 5)
        assert scores[name]["tc"] == pytest.approx(sum(consistency) / len(consistency))
        assert scores[name]["frames"] == 4
        assert scores[name]["ms_per_frame"] > 0
    assert scores["fused"]["miou"] != scores["alone"]["miou"]


def test_workers_leave_torchs_threads_as_they_were(two_clips):
    before = torch.get_num_threads()
    evaluate({"m": video()}, data_of(*two_clips), workers=2)
    assert torch.get_num_threads() == before
    with ThreadPoolExecutor() as pool:
        assert pool.submit(torch.get_num_threads).result() == before


def test_video_consistency_of_labelled_windows(pictures):
    still = np.tile(np.arange(48, dtype=np.uint8) // 10, (32, 1))
    clip = MadeClip(pictures(5), labels=dict.fromkeys(range(5), still))
    scores = evaluate({"m": video()}, data_of(clip), windows=(2, 4, 6))["m"]
    labels = labels_of(video(), tensors(clip))
    for length in (2, 4):
        expected = video_consistency([(p, torch.from_numpy(still)[None]) for p in labels], length)
        assert scores["vc"][length] == pytest.approx(expected)
    assert math.isnan(scores["vc"][6])


def test_instances(pictures):
    frames = pictures(2)
    target, objects = np.zeros((32, 48), np.uint8), np.zeros((32, 48), np.int32)
    target[:16] = 3
    objects[:16, :8], objects[:16, 8:40] = 1, 2  # what is right of them is a crowd
    clip = MadeClip(frames, labels={0: target, 1: target}, instances={1: objects})
    scores = evaluate({"m": video([])}, data_of(clip))["m"]
    found = labels_of(video([]), frames)[1][0].numpy() == 3
    sizes = {k: int((objects == k).sum()) for k in (1, 2)}
    average = sum(sizes.values()) / 2
    hits, pixels = 0.0, 0.0
    for k, size in sizes.items():
        hits += average / size * (found & (objects == k)).sum()
        pixels += average / size * size
    expected = 100 * hits / (pixels + (found & (target != 3)).sum())
    assert scores["iiou_per_class"][3] == pytest.approx(expected)
    assert scores["iiou"] == pytest.approx(expected)


def test_nothing_labelled_is_not_a_number_but_consistency_is(pictures):
    scores = evaluate({"m": video()}, data_of(MadeClip(pictures(3), set())))["m"]
    assert math.isnan(scores["miou"])
    assert math.isnan(scores["tiou"][2])
    assert math.isnan(scores["iiou"])
    assert scores["frames"] == 0
    assert 0 <= scores["tc"] <= 100


def test_one_frame_has_no_consistency(pictures):
    scores = evaluate({"m": video()}, data_of(MadeClip(pictures(1)), MadeClip(pictures(1), seed=1)))["m"]
    assert math.isnan(scores["tc"])
    assert math.isnan(scores["vc"][8])
    assert scores["frames"] == 2


def test_a_network_with_more_outputs_than_there_are_classes(pictures):
    frames = pictures(2)
    nothing = np.zeros((32, 48), np.uint8)
    scores = evaluate({"m": video()}, data_of(MadeClip(frames, labels={0: nothing, 1: nothing}), classes=3))["m"]
    right = sum(int((labels == 0).sum()) for labels in labels_of(video(), frames))
    assert scores["per_class"][0] == pytest.approx(100 * right / (2 * 32 * 48))


@pytest.mark.parametrize(
    ("history", "shown"), [(0, [2, 3, 8]), (1, [1, 2, 3, 7, 8]), (3, [0, 1, 2, 3, 5, 6, 7, 8]), (None, [*range(10)])]
)
def test_only_what_a_labelled_frame_needs_is_read(pictures, history, shown):
    clip = MadeClip(pictures(10), {2, 3, 8})
    data = data_of(clip)
    scores = evaluate({"m": video(memory="fused")}, data, history=history)["m"]
    assert clip.read == shown
    assert frames_to_run(data, history) == len(shown)
    frames, predictions = tensors(clip), {}
    for i in shown:
        if i - 1 not in shown:
            state = None
        with torch.no_grad():
            logits, state = video(memory="fused").eval().step(frames[i], state)
        predictions[i] = logits.argmax(1)
    assert scores["per_class"] == pytest.approx(expected_iou(predictions, clip))
    pairs = [i for i in shown if i - 1 in shown]
    consistency = [
        temporal_consistency(predictions[i - 1], predictions[i], DISFlow("medium")(frames[i], frames[i - 1]))
        for i in pairs
    ]
    assert scores["tc"] == pytest.approx(sum(consistency) / len(pairs))


def test_a_change_of_size_starts_anew(pictures):
    frames = [*pictures(2), *pictures(2, 24, 40)]
    clip = MadeClip(frames)
    scores = evaluate({"m": video(memory="fused")}, data_of(clip), windows=(2, 3))["m"]
    labels = labels_of(video(memory="fused"), frames[:2]) + labels_of(video(memory="fused"), frames[2:])
    assert scores["per_class"] == pytest.approx(expected_iou(labels, clip))
    assert math.isnan(scores["vc"][3])
    assert 0 <= scores["vc"][2] <= 100


def test_flow_is_estimated_once_for_all_and_in_the_time_of_each(pictures, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    class Slow(Pan):
        def __call__(self, current, previous, index=None):
            clock[0] += 10
            return super().__call__(current, previous, index)

    first, second = Slow(), Slow()
    models = {"a": video(flow=first), "b": video(flow=second), "alone": video([], flow=first)}
    scores = evaluate(models, data_of(MadeClip(pictures(4))))
    assert first.calls + second.calls == 3
    assert [scores[name]["ms_per_frame"] for name in models] == [10_000, 10_000, 0]


@pytest.mark.parametrize("count", [1, 2])
def test_flow_is_looked_up_by_the_frames_number_in_a_folder_of_each_of_several_clips(count, two_clips, tmp_path):
    clips, expected = two_clips[:count], []
    for number, clip in enumerate(clips):
        flows = {index: rough_flow(1, 32, 48, seed=10 * number + index) for index in range(1, len(clip.images))}
        for index, flow in flows.items():
            write_flo(tmp_path / (clip.name if count > 1 else "") / f"{index:06d}.flo", flow)
        labels = labels_of(video(), tensors(clip), flows)
        expected += [(labels[i][0].numpy(), target) for i, target in clip.labels.items()]
    scores = evaluate({"m": video(flow=f"precomputed:{tmp_path}")}, data_of(*clips))["m"]
    assert scores["per_class"] == pytest.approx(iou_by_counting(*zip(*expected, strict=True)))


def test_one_folder_of_flow_is_refused_for_several_clips(two_clips, tmp_path):
    write_flo(tmp_path / "000001.flo", rough_flow(1, 32, 48))
    with pytest.raises(InputError, match=r"no folder clip1 .* give each a sub-folder"):
        evaluate({"m": video(flow=f"precomputed:{tmp_path}")}, data_of(*two_clips))


def test_true_flow_is_the_clips_own(pictures):
    flows = {index: rough_flow(1, 32, 48, seed=index) for index in (1, 2, 3)}
    clip = MadeClip(pictures(4), flows={index: flow[0].numpy() for index, flow in flows.items()})
    scores = evaluate({"true": video(flow="true"), "pan": video()}, data_of(clip))
    assert scores["true"]["per_class"] == pytest.approx(expected_iou(labels_of(video(), tensors(clip), flows), clip))
    assert scores["true"]["miou"] != scores["pan"]["miou"]


@pytest.mark.parametrize("workers", [1, 2])
def test_true_flow_that_is_not_known(two_clips, workers):
    with pytest.raises(InputError, match=r"true flow of frame clip._001 is not known"):
        evaluate({"m": video(flow="true")}, data_of(*two_clips), workers=workers)


def test_labels_of_another_size_name_the_frame(pictures):
    clip = MadeClip(pictures(2), labels={1: np.zeros((16, 24), np.uint8)})
    with pytest.raises(InputError, match="labels of frame clip0_001 are 24×16, but it is 48×32"):
        evaluate({"m": video()}, data_of(clip))


def test_every_frames_labels_are_handed_out(two_clips):
    seen = {}
    evaluate(
        {"m": video()},
        data_of(*two_clips),
        on_labels=lambda row, frame, labels: seen.setdefault((row, frame.name), labels.clone()),
    )
    for clip in two_clips:
        for i, labels in enumerate(labels_of(video(), tensors(clip))):
            assert torch.equal(seen["m", f"{clip.name}_{i:03d}"], labels)


def test_progress_counts_frames_not_rows(two_clips):
    calls = []
    evaluate({"a": video(), "b": video([])}, data_of(*two_clips), on_frame=lambda: calls.append(1))
    assert len(calls) == 7


def test_an_interrupt_stops_the_workers(pictures):
    clips = [MadeClip(pictures(20), seed=seed) for seed in range(2)]
    calls = []

    def interrupt() -> None:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate({"m": video([])}, data_of(*clips), on_frame=interrupt, workers=2)
    assert len(calls) < 40


def test_training_mode_ends(pictures):
    model = video().train()
    evaluate({"m": model}, data_of(MadeClip(pictures(2))))
    assert not model.training
    assert all(p.grad is None for p in model.parameters())


def test_what_cannot_be_evaluated(pictures):
    data = data_of(MadeClip(pictures(1)))
    with pytest.raises(ConfigurationError, match="at least one"):
        evaluate({}, data)
    with pytest.raises(ConfigurationError, match="made clips has no frames"):
        evaluate({"m": video()}, data_of())
    with pytest.raises(ConfigurationError, match="not 0"):
        evaluate({"m": video()}, data, workers=0)
    with pytest.raises(ConfigurationError, match="not -1"):
        evaluate({"m": video()}, data, history=-1)
