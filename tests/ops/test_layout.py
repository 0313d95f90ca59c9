"""What a result looks like."""

from __future__ import annotations

import pytest
import torch

from netwarp.ops import warp
from netwarp.ops.kernels import compute_dtype, memory_format

LAST = torch.randn(2, 4, 6, 8).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("tensor", "is_last"),
    [
        (torch.zeros(2, 4, 6, 8), False),
        (torch.zeros(2, 4, 6, 8)[:, 1:3, ::2, 1:], False),
        (LAST, True),
        (LAST[:, :, 1:5, 2:7], True),
        (LAST[:, 1:3], True),
        (LAST[:, ::2], False),
        (LAST[:, :1], False),
        (torch.zeros(2, 4, 1, 1).contiguous(memory_format=torch.channels_last), False),
    ],
)
def test_a_result_has_the_format_that_a_tensor_is_nearer_to(tensor, is_last):
    form = torch.channels_last if is_last else torch.contiguous_format
    assert memory_format(tensor) is form
    warped = warp(tensor, torch.zeros(tensor.shape[0], 2, *tensor.shape[2:]))
    assert torch.equal(warped, tensor)
    assert warped.is_contiguous(memory_format=form)


def test_sums_are_in_float32_or_better():
    single, double, half = (torch.zeros(1, dtype=dtype) for dtype in (torch.float32, torch.float64, torch.float16))
    assert compute_dtype(half, half) == compute_dtype(half, single) == compute_dtype(single, single) == torch.float32
    assert compute_dtype(single, double) == compute_dtype(double, single) == torch.float64
