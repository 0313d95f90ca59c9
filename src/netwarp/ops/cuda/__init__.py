"""The kernels for a GPU: :class:`netwarp.ops.kernels.Kernel` in Triton.

Triton, which PyTorch's wheels bring along on Linux, is imported and kernels are compiled or fetched from its cache on
disk when they are first needed. Where that fails, without Triton or without the C compiler that it needs, plain PyTorch
does the work after one warning.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from torch import Tensor

from netwarp.ops import reference

__all__ = ["KernelsError", "combine", "gradients"]

log = logging.getLogger("netwarp")
_usable = True


class KernelsError(Exception):
    """Kernels are not to be had here; its cause says why."""


def combine(
    current: Tensor | None, previous: Tensor, flow: Tensor, w1: Tensor | None, w2: Tensor | None, gate: Tensor | None
) -> Tensor:
    """See :meth:`netwarp.ops.kernels.Kernel.combine`."""
    if _usable:
        try:
            from netwarp.ops.cuda import compute

            return compute.combine(current, previous, flow, w1, w2, gate)
        except (ImportError, KernelsError) as error:
            _give_up(error)
    return reference.combine(current, previous, flow, w1, w2, gate)


def gradients(
    grad: Tensor,
    current: Tensor | None,
    previous: Tensor,
    flow: Tensor,
    w1: Tensor | None,
    w2: Tensor | None,
    gate: Tensor | None,
    needed: Sequence[bool],
) -> list[Tensor]:
    """See :meth:`netwarp.ops.kernels.Kernel.gradients`."""
    if _usable:
        try:
            from netwarp.ops.cuda import compute

            return compute.gradients(grad, current, previous, flow, w1, w2, gate, needed)
        except (ImportError, KernelsError) as error:
            _give_up(error)
    return reference.gradients(grad, current, previous, flow, w1, w2, gate, needed)


def _give_up(error: Exception) -> None:
    global _usable
    _usable = False
    cause = error.__cause__ or error
    log.warning(
        "the warp runs in plain PyTorch, several times slower: Triton cannot compile it here (%s: %s); it comes with "
        "PyTorch on Linux, and needs a C compiler (gcc, or CC) and a folder that can be written (TRITON_CACHE_DIR)",
        type(cause).__name__,
        " ".join(str(cause).split())[:200],
    )
