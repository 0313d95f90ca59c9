"""The one place where a faster ``warp_combine`` plugs in.

:func:`netwarp.ops.warp.warp_combine` looks its tensors' device type up in :data:`WARP_COMBINE` and calls what it
finds there with the arguments and the meaning of :func:`netwarp.ops.warp.warp_combine_reference`, already
checked. A device that is not listed gets that reference, which every kernel is tested against.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

__all__ = ["WARP_COMBINE", "WarpCombine"]


class WarpCombine(Protocol):
    """What a kernel must look like; it must be differentiable in every tensor but the gate's absence."""

    def __call__(
        self, current: Tensor, previous: Tensor, flow: Tensor, w1: Tensor, w2: Tensor, gate: Tensor | None
    ) -> Tensor:
        """Compute Eq. 1–3; shapes as in :func:`netwarp.ops.warp.warp_combine`."""


WARP_COMBINE: dict[str, WarpCombine] = {}
"""Kernels by ``torch.device.type``, e.g. ``"cpu"`` or ``"cuda"``."""
