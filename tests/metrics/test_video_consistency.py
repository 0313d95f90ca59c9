from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netwarp.errors import ConfigurationError, InputError
from netwarp.metrics import VideoConsistency, video_consistency


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
    metric = VideoConsistency(n)
    for clip in clips:
        metric.start_clip()
        for frame in clip:
            metric.update(*frame)
    shares = [share for clip in clips for share in slow_windows(clip, n)]
    assert int(metric.windows) == len(shares)
    assert metric.compute() == pytest.approx(np.mean(shares) if shares else math.nan, nan_ok=True, abs=1e-8)


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


def test_wrong_all_the_time_is_consistent_and_a_flicker_is_not():
    target = np.array([[0, 0, 1, 1]])
    steady, flickers = np.array([[2, 2, 1, 1]]), np.array([[0, 2, 1, 1]])
    assert video_consistency([(steady, target)] * 4, 4) == 100
    assert video_consistency([(steady, target)] * 3 + [(flickers, target)], 4) == 75


def test_pixels_that_change_or_are_void_at_any_time_are_left_out():
    targets = [np.array([[0, 1, 255, 2]]), np.array([[0, 2, 2, 2]]), np.array([[0, 2, 2, 255]])]
    predictions = [np.array([[0, 0, 0, 0]]), np.array([[1, 1, 1, 1]]), np.array([[0, 1, 0, 1]])]
    assert video_consistency([(targets[0] * 0, target) for target in targets], 3) == 100
    assert video_consistency(zip(predictions, targets, strict=True), 3) == 0
    # windows of two: pixels 0 and 3 of the first, both flickering; pixels 0, 1 and 2 of the second, of which 1 stays
    assert video_consistency(zip(predictions, targets, strict=True), 2) == pytest.approx((0 + 100 / 3) / 2)


def test_what_stays_void_is_no_class():
    void = np.full((2, 2), 255)
    assert math.isnan(video_consistency([(void, void)] * 5, 2))


def test_clips_that_are_too_short_count_nowhere_even_together():
    labels = np.zeros((2, 2), int)
    metric = VideoConsistency(3)
    for _ in range(4):
        metric.start_clip()
        for _ in range(2):
            metric.update(labels, labels)
    assert math.isnan(metric.compute())
    assert int(metric.windows) == 0


def test_no_window_goes_across_a_frame_without_labels():
    labels = np.zeros((2, 2), int)
    metric = VideoConsistency(3)
    for target in (labels, labels, None, labels, labels):
        metric.update(labels, target)
    assert int(metric.windows) == 0
    metric.update(labels, labels)
    assert int(metric.windows) == 1


def test_windows_weigh_the_same_in_clips_of_any_length():
    steady, other = np.zeros((1, 1), int), np.ones((1, 1), int)
    metric = VideoConsistency(2)
    for clip in ([steady, other], [steady, steady, steady, steady]):
        metric.start_clip()
        for prediction in clip:
            metric.update(prediction, steady)
    assert metric.compute() == 75


def test_a_long_clip_needs_no_more_memory_than_a_short_one():
    metric = VideoConsistency(4)
    kept = []
    for frames in (5, 100):
        for prediction, target in random_clip(0, frames, (6, 7)):
            metric.update(prediction, target)
        tensors = (*metric._before, metric._still, metric._kept)
        kept.append(sum(t.nbytes for t in tensors))
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
        (np.zeros((2, 3), int), np.zeros((3, 2), int), "one frame after the other"),
        (np.zeros((2, 2, 3), int), np.zeros((2, 2, 3), int), "one frame after the other"),
        (np.zeros((2, 2, 3), int), None, "one frame after the other"),
        (np.zeros((2, 3)), np.zeros((2, 3), int), "integer"),
        (np.zeros((2, 3)), None, "integer"),
        (np.zeros((2, 3), int), np.zeros((2, 3), bool), "integer"),
        (np.zeros((4, 5), int), np.zeros((4, 5), int), r"start_clip\(\)"),
    ],
)
def test_what_does_not_belong_together_is_refused_and_changes_nothing(prediction, target, words):
    good = np.zeros((2, 3), int)
    metric = VideoConsistency(3)
    metric.update(good, good)
    metric.update(good, good)
    with pytest.raises(InputError, match=words) as error:
        metric.update(prediction, target)
    assert "\n" not in str(error.value)
    metric.update(good, good)
    assert int(metric.windows) == 1


@pytest.mark.parametrize("length", [1, 0, -8])
def test_windows_of_one_frame_are_none(length):
    with pytest.raises(ConfigurationError, match="at least 2"):
        VideoConsistency(length)
