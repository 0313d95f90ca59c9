from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netwarp.errors import ConfigurationError, InputError
from netwarp.metrics import InstanceIoU, IoU, iiou_per_class, instance_counts

seeds = st.integers(0, 2**32 - 1)


def random_frames(seed, count, shape, classes):
    rng = np.random.default_rng(seed)
    target = rng.choice([*range(classes), 255], (count, *shape))
    prediction = np.where(rng.random(target.shape) < 0.6, target, rng.integers(0, classes + 1, target.shape))
    instances = rng.choice([0, 1, 2, -5, 2**31 - 1], target.shape).astype(np.int32)
    return prediction, target, instances


def slow_iiou(prediction, target, instances, classes, sizes=None):
    """From the definition: every object's pixels, found or missed, weighed by average size / its own size."""
    scores = []
    for c in range(classes):
        objects = [
            (frame, number)
            for frame in range(len(target))
            for number in np.unique(instances[frame][target[frame] == c])
            if number != 0
        ]
        pixels = [(target[f] == c) & (instances[f] == number) for f, number in objects]
        if sizes is None and objects:
            average = np.mean([mask.sum() for mask in pixels])
        elif sizes is not None and c in sizes:
            average = sizes[c]
        else:
            scores.append(math.nan)
            continue
        found = sum(
            (prediction[f][m] == c).sum() * average / m.sum() for (f, _), m in zip(objects, pixels, strict=True)
        )
        missed = sum(
            (prediction[f][m] != c).sum() * average / m.sum() for (f, _), m in zip(objects, pixels, strict=True)
        )
        wrong = ((prediction == c) & (target != c) & (target != 255)).sum()
        scores.append(100 * found / (found + missed + wrong) if found + missed + wrong else math.nan)
    return scores


@given(seeds, st.integers(1, 3), st.tuples(st.integers(1, 6), st.integers(1, 6)), st.integers(1, 4), st.booleans())
def test_equals_the_definition(seed, count, shape, classes, own_sizes):
    frames = random_frames(seed, count, shape, classes)
    sizes = None if own_sizes else {0: 12.25, classes - 1: 3.0}
    metric = InstanceIoU(classes, sizes)
    metric.update(*frames)
    expected = slow_iiou(*frames, classes, sizes)
    np.testing.assert_allclose(metric.per_class().numpy(), expected, rtol=1e-9)
    present = [score for score in expected if not math.isnan(score)]
    assert metric.compute() == pytest.approx(np.mean(present) if present else math.nan, nan_ok=True)


def test_a_batch_is_its_frames_and_equal_numbers_in_two_frames_are_two_objects():
    frames = random_frames(0, 4, (5, 6), 3)
    at_once, one_by_one = InstanceIoU(3), InstanceIoU(3)
    at_once.update(*frames)
    for frame in zip(*frames, strict=True):
        one_by_one.update(*frame)
    assert torch.equal(at_once.counts, one_by_one.counts)
    ones = np.ones((2, 1, 1), int)
    assert instance_counts(ones, ones, ones, 2)[1].tolist() == [0, 2]


def test_one_number_on_two_classes_is_two_objects():
    target = np.array([[0, 0, 1]])
    counts = instance_counts(target, target, np.full((1, 3), 9), 2)
    assert counts[1].tolist() == [1, 1]
    assert counts[2].tolist() == [2, 1]


def test_a_small_object_weighs_as_much_as_a_large_one():
    target = np.array([[0] * 10 + [1] * 10])
    instances = np.array([[0] * 10 + [1] + [2] * 9])
    only_large, only_small = target.copy(), target.copy()
    only_large[0, 10] = 0
    only_small[0, 11:] = 0
    for prediction in (only_large, only_small):
        metric, plain = InstanceIoU(2), IoU(2)
        metric.update(prediction, target, instances)
        plain.update(prediction, target)
        assert metric.compute() == pytest.approx(50)
        assert plain.per_class()[1] == pytest.approx(10 * (prediction == 1).sum())


def test_objects_that_are_all_of_the_average_size_give_iou():
    rng = np.random.default_rng(1)
    target = np.kron(rng.integers(0, 3, (4, 5)), np.ones((3, 3), int))
    instances = np.kron(np.arange(1, 21).reshape(4, 5), np.ones((3, 3), int))
    prediction = np.where(rng.random(target.shape) < 0.7, target, rng.integers(0, 3, target.shape))
    metric, plain = InstanceIoU(3), IoU(3)
    metric.update(prediction, target, instances)
    plain.update(prediction, target)
    np.testing.assert_allclose(metric.per_class().numpy(), plain.per_class().numpy())


def test_a_crowd_counts_only_where_it_is_taken_for_another_class():
    target, instances = np.array([[1, 1, 1, 2]]), np.array([[0, 0, 5, 6]])
    right = InstanceIoU(3)
    right.update(target, target, instances)
    missed = InstanceIoU(3)
    missed.update(np.array([[0, 2, 1, 2]]), target, instances)
    assert right.per_class().nan_to_num(-1).tolist() == pytest.approx([-1, 100, 100])
    assert missed.per_class().nan_to_num(-1).tolist() == pytest.approx([-1, 100, 50])


def test_nan_for_classes_without_objects_and_zero_for_one_of_the_table_that_is_imagined():
    target = np.array([[0, 0, 1, 255]])
    instances = np.array([[0, 0, 3, 4]])
    prediction = np.array([[2, 0, 1, 1]])
    counts = instance_counts(prediction, target, instances, 5)
    own = iiou_per_class(counts)
    assert own.isnan().tolist() == [True, False, True, True, True]
    tabled = iiou_per_class(counts, {1: 10.0, 2: 10.0, 3: 10.0})
    assert tabled.isnan().tolist() == [True, False, False, True, True]
    assert tabled[2] == 0


def test_ignored_pixels_count_nowhere_objects_on_them_neither():
    target = np.array([[1, 255, 255, 1]])
    counts = instance_counts(np.array([[1, 0, 1, 1]]), target, np.array([[3, 3, 3, 4]]), 2)
    assert counts[1:].tolist() == [[0, 2], [0, 2], [0, 0]]


def test_no_pixels_at_all():
    nothing = np.zeros((0, 4), int)
    assert instance_counts(nothing, nothing, nothing, 3).sum() == 0


@pytest.mark.parametrize(
    ("instances", "words"),
    [
        (np.zeros((2, 4), int), "instances and target differ in shape"),
        (np.zeros((2, 3)), "the instances must be integer"),
        (np.full((2, 3), 2**31), "32 bits"),
        (np.full((2, 3), -(2**31) - 1), "32 bits"),
    ],
)
def test_bad_instances_are_refused_in_one_line(instances, words):
    metric = InstanceIoU(2)
    with pytest.raises(InputError, match=words) as error:
        metric.update(np.zeros((2, 3), int), np.zeros((2, 3), int), instances)
    assert "\n" not in str(error.value)
    assert metric.counts.sum() == 0


@pytest.mark.parametrize(
    ("classes", "sizes", "words"),
    [
        (0, None, "1 to 255"),
        (2, {2: 5.0}, "class 2, but there are 2"),
        (2, {-1: 5.0}, "class -1"),
        (2, {1: 0.0}, "positive"),
        (2, {1: math.nan}, "positive"),
        (2, {1: math.inf}, "positive"),
    ],
)
def test_impossible_settings(classes, sizes, words):
    with pytest.raises(ConfigurationError, match=words):
        InstanceIoU(classes, sizes)
