import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwarp.errors import ConfigurationError, InputError
from netwarp.metrics import InstanceIoU, instance_counts

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


def test_no_pixels_at_all():
    nothing = np.zeros((0, 4), int)
    assert instance_counts(nothing, nothing, nothing, 3).sum() == 0


@pytest.mark.parametrize(
    ("instances", "words"),
    [
        (np.zeros((2, 4), int), r"\[1, 2, 4\]"),
        (np.zeros((2, 3)), "instances .* float64"),
        (np.full((2, 3), 2**31), "32 bits"),
        (np.full((2, 3), -(2**31) - 1), "32 bits"),
    ],
)
def test_bad_instances_are_refused_and_change_nothing(instances, words):
    metric = InstanceIoU(2)
    with pytest.raises(InputError, match=words):
        metric.update(np.zeros((2, 3), int), np.zeros((2, 3), int), instances)
    assert metric.counts.sum() == 0


@pytest.mark.parametrize(
    ("classes", "sizes", "words"),
    [
        (2, {2: 5.0}, "class 2"),
        (2, {-1: 5.0}, "class -1"),
        (2, {1: 0.0}, "class 1 .* 0.0"),
        (2, {1: math.nan}, "class 1 .* nan"),
        (2, {1: math.inf}, "class 1 .* inf"),
    ],
)
def test_impossible_settings(classes, sizes, words):
    with pytest.raises(ConfigurationError, match=words):
        InstanceIoU(classes, sizes)
