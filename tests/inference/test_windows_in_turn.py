"""Windows of which each frame refreshes some: how many, which, and what they give."""

import numpy as np
import pytest
import torch

from inference.test_keyframes import Listed, as_tensor, counted, scene
from model.tiny import PLAIN, Pan, set_weights, tiny
from netwarp import Sliding, VideoModel, segment
from netwarp.inference.windows_in_turn import WindowsInTurn
from netwarp.model import PhotometricGate

H, W = 32, 48


def sliding(layers=("output",), **options):
    torch.manual_seed(0)  # FlowCNN begins with noise
    model = VideoModel(tiny(), list(layers), Pan(-2.0), gate=PhotometricGate(), memory="fused", preprocess=PLAIN)
    set_weights(model)
    return Sliding(model, window=24, stride=12, **options)


def steps(model, frames):
    state, results = None, []
    for frame in frames:
        result, state = model.step(as_tensor(frame), state)
        results.append(result)
    return results, state


@pytest.mark.parametrize("options", [{}, {"flip": "logits"}, {"scales": (0.75, 1.0), "flip": True}])
def test_all_windows_in_every_frame_are_those_without_turns(options):
    frames = scene(frames=4)
    ours, state = steps(WindowsInTurn(sliding(**options), 1.0), frames)
    theirs, _ = steps(sliding(**options), frames)
    assert state.refreshed == 1
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("layers", [["output"], ["mid"], []])
def test_each_frame_refreshes_its_share_and_no_window_waits_too_long(layers):
    model = sliding(layers)
    calls, turns = counted(model.base), WindowsInTurn(model, 0.25)
    state, passes, oldest = None, [], []
    for frame in scene(frames=16):
        before = len(calls)
        _, state = turns.step(as_tensor(frame), state)
        passes.append(len(calls) - before)
        oldest.append(max(state.ages))
        assert sum(age == 0 for age in state.ages) == passes[-1]
    views = len(state.ages)
    assert views == 6
    assert passes[0] == views
    assert abs(sum(passes[1:]) - 0.25 * views * 15) < 1
    assert max(oldest) <= 2 / 0.25


def test_what_has_changed_is_seen_first():
    frames = [scene(frames=1)[0]] * 2
    frames[1] = frames[1].copy()
    frames[1][20:, 38:] = 255 - frames[1][20:, 38:]  # in the last window alone
    model = sliding()
    model.model.flow = model.flow = Pan(0.0)
    _, state = steps(WindowsInTurn(model, 1 / 6), frames)
    assert state.ages == (1, 1, 1, 1, 1, 0)


def test_a_still_picture_stays_as_it_is():
    model = sliding([])
    model.model.flow = model.flow = Pan(0.0)
    results, _ = steps(WindowsInTurn(model, 0.3), [scene(frames=1)[0]] * 4)
    for result in results[1:]:
        torch.testing.assert_close(result, results[0])


def test_a_stream_spends_a_budget_on_windows():
    model = sliding()
    results = list(segment(Listed(scene()), model, keyframes="budget:0.5", edges="off", detect_cuts=False))
    assert [r.network for r in results] == [1] + [0.5] * 7
    assert all(r.keyframe for r in results)
    expected, _ = steps(WindowsInTurn(sliding(), 0.5), scene())
    for result, probabilities in zip(results, expected, strict=True):
        np.testing.assert_array_equal(result.labels, probabilities.argmax(1)[0].numpy())


@pytest.mark.parametrize("layers", [["output"], []])
def test_a_scene_cut_refreshes_all_windows(layers):
    frames = [*scene(frames=3), *(255 - image // 2 for image in scene(frames=3, seed=1))]
    frames = [image // 4 if i < 3 else image for i, image in enumerate(frames)]
    results = list(segment(Listed(frames), sliding(layers), keyframes="budget:0.2", edges="off"))
    assert [r.fresh for r in results] == ["first frame", None, None, "scene cut", None, None]
    assert [r.network for r in results][3] == 1
    alone, _ = sliding(layers).step(as_tensor(frames[3]))
    np.testing.assert_array_equal(results[3].labels, alone.argmax(1)[0].numpy())
    model = sliding(layers)
    model.model.flow = model.flow = counting = Pan(-2.0)
    list(segment(Listed(frames), model, keyframes="budget:0.2", edges="off"))
    assert counting.calls == 5, "once for each pair, for cuts and windows together"
