"""The state of a stream in windows: what it holds, that it is used up, and what is refused."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from model.tiny import rough_flow, video
from netwarp.errors import InputError, NetWarpError
from netwarp.inference.sliding import Sliding
from netwarp.inference.sliding_state import SlidingState
from netwarp.lab.study.build import concatenate


def sliding(layers=("mid",), window=20, flip=True, batch=2, **options):
    return Sliding(video(layers, **options).eval(), window, flip=flip, batch=batch)


def test_one_frame_and_the_memory_of_every_view(pictures):
    model, (frame,) = sliding(["stem", "mid"]), pictures(1)
    model = Sliding(model.model, 20, scales=(0.5, 1), flip=True)
    _, state = model.step(frame)
    assert torch.equal(state.frame, frame)
    # 25×17 has a row of two windows, 49×33 two rows of four; each has a twin.
    shapes = [[tuple(kept.shape) for kept in scale] for scale in state.look()]
    assert shapes == [[(n, 8, 10, 10), (n, 6, 10, 10)] for n in (4, 16)]
    assert state.nbytes == 20 * 14 * 10 * 10 * 4


def test_representations_keep_their_memory_format(pictures):
    model, (frame,) = sliding(["mid"]), pictures(1)
    model.base.to(memory_format=torch.channels_last)
    _, state = model.step(frame)
    ((kept,),) = state.look()
    assert kept.is_contiguous(memory_format=torch.channels_last)


def test_without_memory_only_the_frame(pictures):
    _, state = sliding([]).step(pictures(1)[0])
    assert not any(state.take())


def test_a_buffer_that_is_filled_again_does_not_change_the_past(pictures):
    first, second = pictures(2)
    model, buffer = sliding(), first.clone()
    _, state = model.step(buffer)
    buffer.copy_(second)
    assert torch.equal(state.frame, first)


def test_is_used_up_by_a_step(pictures):
    model, (first, second, third) = sliding(), pictures(3)
    _, state = model.step(first)
    spare = state.copy()
    expected, _ = model.step(second, state)
    with pytest.raises(InputError, match="used up"):
        model.step(third, state)
    with pytest.raises(InputError, match="used up"):
        state.copy()
    again, _ = model.step(second, spare)
    assert torch.equal(again, expected)


@pytest.mark.parametrize("failure", [KeyboardInterrupt, MemoryError, torch.OutOfMemoryError("out of memory")])
def test_a_step_that_fails_midway_is_said_to_have_failed(pictures, failure):
    model, (first, second) = sliding(), pictures(2)
    _, state = model.step(first)
    spare = state.copy()
    passes = []

    def fail(module, entered) -> None:
        passes.append(1)
        if len(passes) == 2:
            raise failure

    hook = model.base.register_forward_pre_hook(fail)
    with pytest.raises(type(failure) if isinstance(failure, Exception) else failure):
        model.step(second, state)
    hook.remove()
    with pytest.raises(InputError, match="failed midway"):
        model.step(second, state)
    assert state.nbytes == 0
    model.step(second, spare)


def test_of_many_threads_one_gets_the_memory(pictures):
    _, state = sliding().step(pictures(1)[0])
    for _ in range(200):
        once, ready = state.copy(), threading.Barrier(4)

        def take(state: SlidingState = once, ready: threading.Barrier = ready) -> bool:
            ready.wait()
            try:
                return state.take() is not None
            except InputError:
                return False

        with ThreadPoolExecutor(4) as pool:
            assert sum(each.result() for each in [pool.submit(take) for _ in range(4)]) == 1


def test_goes_on_where_features_are_concatenated(pictures):
    """The paper's baseline has modules of other weights in the place of NetWarps."""
    model, (first, second) = sliding(["stem", "mid"]), pictures(2)
    concatenate(model.model)
    expected, _ = model.model.step(second, model.model.step(first)[1])
    whole = Sliding(model.model)
    found, _ = whole.step(second, whole.step(first)[1])
    torch.testing.assert_close(found, expected.softmax(1))
    _, state = model.step(first)
    model.step(second, state)
    with pytest.raises(InputError, match="other layers"):
        sliding(["stem"]).step(second, model.step(first)[1])


def test_there_is_one_frames_memory_and_no_more(pictures):
    """The new is written over the old, though the caller still holds the state."""
    model, frames, state, places = sliding(["stem", "mid"], batch=1), pictures(3), None, []
    for frame in frames:
        before = state
        _, state = model.step(frame, state)
        places.append([kept.data_ptr() for scale in state.look() for kept in scale])
        assert state.nbytes == 12 * 14 * 10 * 10 * 4  # views, channels, places, bytes
        assert before is None or before.nbytes == 0
    assert places[0] == places[1] == places[2]


@pytest.mark.parametrize("detached", ["other size", "other batch"])
def test_of_another_size_starts_anew_and_lets_go(detached, pictures):
    model = sliding()
    _, state = model.step(pictures(1)[0])
    (frame,) = pictures(1, 24, 40) if detached == "other size" else pictures(1, batch=2)
    expected, _ = model.step(frame)
    found, after = model.step(frame, state)
    assert torch.equal(found, expected)
    assert after.frame.shape == frame.shape
    with pytest.raises(InputError, match="used up"):
        state.take()


@pytest.mark.parametrize(
    "other",
    [
        lambda: sliding(["stem"]),
        lambda: sliding([]),
        lambda: sliding(window=24),
        lambda: sliding(flip=False),
        lambda: sliding().model,
    ],
)
def test_of_another_model_is_refused_and_not_used_up(other, pictures):
    model, (first, second) = sliding(), pictures(2)
    _, foreign = other().step(first)
    with pytest.raises(InputError, match="state"):
        model.step(second, foreign)
    _, state = model.step(first)
    for flow in (rough_flow(1, 16, 16), torch.full((1, 2, 32, 48), float("nan"))):
        with pytest.raises(InputError, match="flow"):
            model.step(second, state, flow)
    with pytest.raises(InputError, match="frame"):
        model.step(second.int(), state)
    model.step(second, state)


def test_without_an_answer_nothing_is_carried_and_the_state_stays(pictures):
    model, (first, second) = sliding(), pictures(2)
    state = model.step(first)[1].without_answer()
    with pytest.raises(InputError, match="no answer to carry"):
        model.step(second, state, keyframe=False)
    model.step(second, state)


def test_serves_a_model_with_other_passes(pictures):
    (first, second), by_two, by_five = pictures(2), sliding(), sliding(batch=5)
    _, state = by_two.step(first)
    expected, _ = by_two.step(second, state.copy())
    found, _ = by_five.step(second, state)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_a_removed_model_says_so(pictures):
    model = sliding()
    model.model.remove()
    with pytest.raises(NetWarpError, match="was removed"):
        model.step(pictures(1)[0])
