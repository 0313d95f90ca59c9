"""Operations on whole frames, compiled and in plain PyTorch, against the warp."""

import pytest
import torch
import torch.nn.functional as F

from netwarp.ops import reference, warp
from netwarp.ops.cpu import compute as compiled
from netwarp.ops.kernels import labels_along, photometric_error

KERNELS = pytest.mark.parametrize("kernel", [compiled, reference], ids=["compiled", "plain"])


def flow_of(h, w, batch=2):
    return 6 * torch.randn(batch, 2, h, w, generator=torch.Generator().manual_seed(1))


@KERNELS
@pytest.mark.parametrize("size", [(1, 1), (7, 11), (40, 64)])
def test_error_of_bytes_is_that_of_floats(kernel, size):
    current, previous = torch.randint(0, 256, (2, 2, 3, *size), dtype=torch.uint8)
    flow = flow_of(*size)
    expected = (current / 255 - warp(previous / 255, flow)).abs().mean(1, keepdim=True)
    torch.testing.assert_close(kernel.photometric_error(current, previous, flow), expected)
    torch.testing.assert_close(photometric_error(current, previous, flow), expected)
    torch.testing.assert_close(photometric_error(current / 255, previous / 255, flow), expected)


@KERNELS
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
@pytest.mark.parametrize("channels_last", [True, False])
def test_labels_are_those_of_the_warped_answer(kernel, dtype, channels_last):
    coarse = torch.randn(2, 5, 6, 8, generator=torch.Generator().manual_seed(0))
    answer = F.interpolate(coarse, (48, 64), mode="bicubic")
    answer = answer.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    labels, flow = answer.max(1).indices.to(dtype), flow_of(48, 64)
    expected = warp(answer, flow).max(1).indices.to(dtype)
    moved = kernel.labels_along(answer, labels, flow)
    assert moved.dtype == dtype
    assert torch.equal(moved, expected)
    assert torch.equal(labels_along(answer, labels, flow), expected)


@KERNELS
def test_a_flow_of_nan_reads_nothing_outside(kernel):
    flow = torch.full((1, 2, 5, 6), float("nan"))
    flow[..., 0] = 1e9
    frame = torch.randint(0, 256, (1, 3, 5, 6), dtype=torch.uint8)
    assert kernel.photometric_error(frame, frame, flow).shape == (1, 1, 5, 6)
    answer = torch.randn(1, 4, 5, 6)
    assert kernel.labels_along(answer, answer.argmax(1), flow).max() < 4
