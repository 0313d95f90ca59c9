import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netwarp.errors import InputError
from netwarp.metrics import TemporalConsistency, temporal_consistency


def slow_consistency(previous, current, flow):
    h, w = current.shape
    same = compared = 0
    for y in range(h):
        for x in range(w):
            i = math.floor(x + float(flow[0, y, x]) + 0.5)
            j = math.floor(y + float(flow[1, y, x]) + 0.5)
            if not (0 <= i < w and 0 <= j < h) or current[y, x] == 255 or previous[j, i] == 255:
                continue
            compared += 1
            same += previous[j, i] == current[y, x]
    return 100 * same / compared if compared else math.nan


def random_pair(seed, h, w):
    rng = np.random.default_rng(seed)
    previous, current = (rng.choice([0, 1, 255], (h, w), p=[0.5, 0.4, 0.1]) for _ in range(2))
    flow = torch.from_numpy(rng.normal(0, 2, (2, h, w)).astype(np.float32))
    flow[:, rng.random((h, w)) < 0.1] *= 1e6
    return previous, current, flow


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 8))
def test_equals_a_loop_over_pixels(seed, h, w):
    previous, current, flow = random_pair(seed, h, w)
    assert temporal_consistency(previous, current, flow) == pytest.approx(
        slow_consistency(previous, current, flow), nan_ok=True
    )


def test_mean_over_pairs_however_many_pixels_each_compares():
    metric = TemporalConsistency()
    zero = torch.zeros(1, 2, 1, 4)
    metric.update(np.array([[0, 255, 255, 255]]), np.array([[0, 0, 0, 0]]), zero)
    metric.update(np.array([[1, 1, 1, 1]]), np.array([[0, 0, 0, 0]]), zero)
    metric.update(np.array([[255, 255, 255, 255]]), np.array([[0, 0, 0, 0]]), zero)  # nothing to compare
    assert metric.compute() == 50


@pytest.mark.parametrize(
    ("flow", "value"),
    [
        (torch.zeros(1, 2, 3, 2), "3, 2"),
        (torch.zeros(2, 2, 2, 3), "2, 2, 2, 3"),
        (torch.full((1, 2, 2, 3), torch.nan), "finite"),
    ],
)
def test_a_flow_of_something_else_is_refused(flow, value):
    metric = TemporalConsistency()
    with pytest.raises(InputError, match=value):
        metric.update(np.zeros((2, 3), int), np.zeros((2, 3), int), flow)
    assert math.isnan(metric.compute())
