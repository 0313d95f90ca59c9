import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netwarp.errors import ConfigurationError, InputError
from netwarp.metrics import VideoConsistency, VideoConsistencyCurve, video_consistency


def slow_windows(clip, n):
    """Each window's share from the definition, pixel by pixel; None where no pixel stands still."""
    shares = []
    for start in range(len(clip) - n + 1):
        window = clip[start : start + n]
        if any(target is None for _, target in window):
            continue
        still = kept = 0
        for place in np.ndindex(window[0][1].shape):
            wanted = {int(target[place]) for _, target in window}
            if len(wanted) == 1 and 255 not in wanted:
                still += 1
                kept += len({int(prediction[place]) for prediction, _ in window}) == 1
        if still:
            shares.append(100 * kept / still)
    return shares


def random_clip(seed, frames, shape, *, unlabelled=0.0):
    """Labels that mostly stay, some of them void."""
    rng = np.random.default_rng(seed)
    clip = []
    target = prediction = np.zeros(shape, int)
    for _ in range(frames):
        target = np.where(rng.random(shape) < 0.8, target, rng.choice([0, 1, 255], shape))
        prediction = np.where(rng.random(shape) < 0.8, prediction, rng.integers(0, 3, shape))
        clip.append((prediction, None if rng.random() < unlabelled else target))
    return clip


@settings(max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 5),
    st.lists(st.integers(1, 9), min_size=1, max_size=3),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.sampled_from([0.0, 0.15]),
)
def test_equals_the_definition_over_clips(seed, n, lengths, shape, unlabelled):
    clips = [random_clip(seed + i, frames, shape, unlabelled=unlabelled) for i, frames in enumerate(lengths)]
    metric, curve = VideoConsistency(n), VideoConsistencyCurve((n + 2, 2, n))
    for clip in clips:
        for each in (metric, curve):
            each.start_clip()
            for frame in clip:
                each.update(*frame)
    assert list(curve.compute()) == sorted({2, n, n + 2})
    assert curve.compute()[n] == pytest.approx(metric.compute(), nan_ok=True, abs=0)
    for length, windows in zip(curve.lengths, curve.windows.tolist(), strict=True):
        shares = [share for clip in clips for share in slow_windows(clip, length)]
        assert windows == len(shares)
        expected = np.mean(shares) if shares else math.nan
        assert curve.compute()[length] == pytest.approx(expected, nan_ok=True, abs=1e-8)


@pytest.mark.parametrize("n", [8, 16])
def test_the_benchmarks_script_but_for_its_last_window_and_void(n):
    """As the script does it, over all frames at once: without void, and up to the second last window."""
    rng = np.random.default_rng(n)
    stays = rng.random((2, 30, 12, 13)) < 0.97
    targets, predictions = (np.zeros((31, 12, 13), int) for _ in range(2))
    for t in range(30):
        targets[t + 1] = np.where(stays[0, t], targets[t], rng.integers(0, 5, (12, 13)))
        predictions[t + 1] = np.where(stays[1, t], predictions[t], rng.integers(0, 5, (12, 13)))
    scores = []
    for i in range(len(targets) - n):
        common = (targets[i : i + n] == targets[i]).all(0)
        predicted = (predictions[i : i + n] == predictions[i]).all(0)
        scores.append((common & predicted).sum() / common.sum())
    ours = video_consistency(zip(predictions[:-1], targets[:-1], strict=True), n)
    assert ours == pytest.approx(100 * np.mean(scores), abs=1e-8)


def test_a_long_clip_needs_no_more_memory_than_a_short_one():
    metric = VideoConsistency(4)
    kept = []
    for frames in (5, 100):
        for prediction, target in random_clip(0, frames, (6, 7)):
            metric.update(prediction, target)
        kept.append(sum(tensor.nbytes for tensor in metric._past))
    assert kept[0] == kept[1]


def test_one_frame_as_a_batch_and_the_callers_memory_may_change_after():
    labels = torch.zeros(1, 2, 3, dtype=torch.long)
    metric = VideoConsistency(2)
    metric.update(labels, labels)
    labels.fill_(1)
    metric.update(labels, torch.zeros_like(labels))
    assert metric.compute() == 0


@pytest.mark.parametrize(
    ("prediction", "target", "words"),
    [
        (np.zeros((2, 2, 3), int), np.zeros((2, 2, 3), int), r"\[\d, 2, 3\]"),
        (np.zeros((2, 2, 3), int), None, r"\[\d, 2, 3\]"),
        (np.zeros((2, 3)), None, "integer"),
        (np.zeros((4, 5), int), np.zeros((4, 5), int), r"start_clip\(\)"),
    ],
)
def test_what_does_not_belong_together_is_refused_and_changes_nothing(prediction, target, words):
    good = np.zeros((2, 3), int)
    metric = VideoConsistency(3)
    metric.update(good, good)
    metric.update(good, good)
    with pytest.raises(InputError, match=words):
        metric.update(prediction, target)
    metric.update(good, good)
    assert int(metric.windows) == 1


@pytest.mark.parametrize("length", [1, 0, -8])
def test_windows_of_one_frame_are_none(length):
    with pytest.raises(ConfigurationError, match=f"not {length}"):
        VideoConsistency(length)
