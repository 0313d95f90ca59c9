"""Operations on whole frames, on a CPU loops of their own: a frame without the network consists of little else."""

from __future__ import annotations

import torch
from torch import Tensor

from netwarp.ops.kernels import CompiledKernel, plain_pytorch
from netwarp.ops.warp import warp

_LOOPS = CompiledKernel("netwarp.ops.cpu.frames", "numba", "see the warning about the warp")


def photometric_error(current: Tensor, previous: Tensor, flow: Tensor) -> Tensor:
    """Compare a frame ``[B,3,H,W]`` with the previous one, warped along the flow ``[B,2,H,W]``.

    Frames are uint8, or floating point in 0–1. Returns the mean absolute difference ``[B,1,H,W]``, 0–1.
    """
    if current.dtype == previous.dtype == torch.uint8:
        kernel = _LOOPS if current.device.type == "cpu" else plain_pytorch()
        error: Tensor = kernel.photometric_error(current, previous, flow)
        return error
    return (current - warp(previous, flow)).abs().mean(1, keepdim=True)


def labels_along(answer: Tensor, labels: Tensor, flow: Tensor) -> Tensor:
    """Carry labels along a flow: of each pixel the largest entry of the answer ``[B,C,H,W]``, warped.

    ``labels`` ``[B,H,W]`` are those of the answer itself; with them the answer need not be warped where they agree.
    """
    kernel = _LOOPS if answer.device.type == "cpu" else plain_pytorch()
    moved: Tensor = kernel.labels_along(answer, labels, flow)
    return moved
