"""The one place where a faster ``warp`` and ``warp_combine`` plug in.

Both are operators of PyTorch (:mod:`netwarp.ops.operators`), which look their tensors' device type up in
:data:`WARP_COMBINE` and call what they find there. A device that is not listed gets the plain PyTorch of
:mod:`netwarp.ops.reference`, which every kernel is tested against.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from netwarp.ops import reference
from netwarp.ops.fallback import CompiledKernel

__all__ = ["WARP_COMBINE", "Kernel", "kernel_for"]


class Kernel(Protocol):
    """What a kernel must look like: a module or an object with these two functions.

    Both compute in :func:`~netwarp.ops.layout.compute_dtype`; maps that they return have the
    :func:`~netwarp.ops.layout.memory_format` of ``current`` (of ``previous``, where there is none).
    """

    def combine(
        self,
        current: Tensor | None,
        previous: Tensor,
        flow: Tensor,
        w1: Tensor | None,
        w2: Tensor | None,
        gate: Tensor | None,
    ) -> Tensor:
        """Compute Eq. 1–3; shapes as in :func:`netwarp.ops.warp.warp_combine`.

        Without ``current``, ``w1`` and ``w2`` it is the warp alone (Eq. 1–2), whose result is ``previous`` brought to
        the current frame and nothing added, not even 0 times something.
        """

    def gradients(
        self,
        grad: Tensor,
        current: Tensor | None,
        previous: Tensor,
        flow: Tensor,
        w1: Tensor | None,
        w2: Tensor | None,
        gate: Tensor | None,
        needed: Sequence[bool],
    ) -> list[Tensor]:
        """Gradients of a loss, given the one with respect to the result."""


WARP_COMBINE: dict[str, Kernel] = {
    "cpu": CompiledKernel(
        "netwarp.ops.cpu.compute",
        "numba",
        "'pip install -U numba' may help, or NUMBA_CACHE_DIR, a folder that can be written",
    ),
    "cuda": CompiledKernel(
        "netwarp.ops.cuda.compute",
        "Triton",
        "it comes with PyTorch on Linux, and needs a C compiler (gcc, or CC) and a folder that can be written "
        "(TRITON_CACHE_DIR)",
    ),
}
"""Kernels by ``torch.device.type``; AMD's GPUs are ``"cuda"`` too."""


def kernel_for(tensor: Tensor) -> Kernel:
    """The kernel for a tensor's device, else the reference."""
    return WARP_COMBINE.get(tensor.device.type, reference)
