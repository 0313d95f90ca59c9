"""TC as the literature counts it, against a slow count."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netwarp.errors import InputError
from netwarp.metrics import WarpedIoU


def slow(previous, current, flow, visible, classes):
    """Mean IoU over classes, pixel by pixel."""
    hits, union = np.zeros(classes), np.zeros(classes)
    h, w = current.shape
    for y in range(h):
        for x in range(w):
            i, j = (math.floor(at + float(by) + 0.5) for at, by in ((x, flow[0, y, x]), (y, flow[1, y, x])))
            now = current[y, x]
            if not (visible[y, x] and 0 <= i < w and 0 <= j < h and now < classes):
                continue
            before = previous[j, i]
            hits[now] += now == before
            union[now] += 1
            if before < classes:
                union[before] += before != now
    return 100 * np.mean(hits[union > 0] / union[union > 0]) if union.any() else math.nan


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 8), st.booleans())
def test_equals_a_count_pixel_by_pixel(seed, h, w, masked):
    rng = np.random.default_rng(seed)
    previous, current = (rng.choice([0, 1, 2, 3, 255], (h, w)) for _ in range(2))
    flow = torch.from_numpy(rng.normal(0, 2, (2, h, w)).astype(np.float32))
    visible = rng.random((h, w)) < 0.7 if masked else np.ones((h, w), bool)
    metric = WarpedIoU(3)
    metric.update(previous, current, flow, torch.from_numpy(visible)[None] if masked else None)
    assert metric.compute() == pytest.approx(slow(previous, current, flow, visible, 3), nan_ok=True)


def test_a_mask_of_another_size_is_refused():
    labels = np.zeros((2, 3), int)
    with pytest.raises(InputError, match=r"not \[1, 3, 2\]"):
        WarpedIoU(2).update(labels, labels, torch.zeros(1, 2, 2, 3), torch.ones(1, 3, 2, dtype=torch.bool))
