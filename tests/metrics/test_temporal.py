from __future__ import annotations

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


@pytest.mark.parametrize(("u", "v"), [(0, 0), (3, 0), (0, -2), (-4, 5), (2.4, 0.4), (1.6, -2.4)])
def test_labels_that_move_with_the_flow_are_consistent(u, v):
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 5, (40, 40))
    du, dv = round(u), round(v)
    current, previous = scene[10:30, 10:30], scene[10 - dv : 30 - dv, 10 - du : 30 - du]
    flow = torch.tensor([u, v], dtype=torch.float32).view(1, 2, 1, 1).expand(1, 2, 20, 20)
    assert temporal_consistency(previous, current, flow) == 100
    if (du, dv) != (0, 0):
        assert temporal_consistency(previous, current, -flow) < 50
        assert temporal_consistency(previous, current, torch.zeros(1, 2, 20, 20)) < 50


def test_pixels_from_outside_the_frame_are_left_out():
    flow = torch.zeros(1, 2, 1, 4)
    flow[:, 0] = torch.tensor([-0.5, -1.6, 1.4, 0.5])  # from 0 (half to the right), from -1, from 3, from 4
    previous, current = np.array([[1, 2, 3, 4]]), np.array([[1, 9, 4, 9]])
    assert temporal_consistency(previous, current, flow) == 100
    assert math.isnan(temporal_consistency(previous, current, flow + 100))


def test_a_batch_is_the_mean_of_its_pairs():
    pairs = [random_pair(seed, 5, 6) for seed in range(4)]
    batch = [np.stack([p[i] for p in pairs]) for i in (0, 1)]
    flows = torch.stack([p[2] for p in pairs])
    expected = np.mean([slow_consistency(*p) for p in pairs])
    assert temporal_consistency(*batch, flows) == pytest.approx(expected)
    together, alone = TemporalConsistency(), TemporalConsistency()
    together.update(*batch, flows)
    for pair in pairs:
        alone.update(*pair)
    assert together.compute() == pytest.approx(expected)
    assert alone.compute() == pytest.approx(expected)


def test_mean_over_pairs_however_many_pixels_each_compares():
    metric = TemporalConsistency()
    zero = torch.zeros(1, 2, 1, 4)
    metric.update(np.array([[0, 255, 255, 255]]), np.array([[0, 0, 0, 0]]), zero)
    metric.update(np.array([[1, 1, 1, 1]]), np.array([[0, 0, 0, 0]]), zero)
    metric.update(np.array([[255, 255, 255, 255]]), np.array([[0, 0, 0, 0]]), zero)  # nothing to compare
    assert metric.compute() == 50


@pytest.mark.parametrize(
    ("previous", "current", "flow", "words"),
    [
        (np.zeros((2, 3), int), np.zeros((2, 4), int), torch.zeros(1, 2, 2, 4), "got"),
        (np.zeros((2, 3), int), np.zeros((2, 3), int), torch.zeros(1, 2, 3, 2), "got"),
        (np.zeros((2, 3), int), np.zeros((2, 3), int), torch.zeros(2, 2, 2, 3), "got"),
        (np.zeros((2, 3)), np.zeros((2, 3), int), torch.zeros(1, 2, 2, 3), "integer"),
        (np.zeros((2, 3), int), np.zeros((2, 3), int), torch.full((1, 2, 2, 3), torch.nan), "finite"),
    ],
)
def test_what_does_not_belong_together_is_refused(previous, current, flow, words):
    metric = TemporalConsistency()
    with pytest.raises(InputError, match=words):
        metric.update(previous, current, flow)
    assert math.isnan(metric.compute())
