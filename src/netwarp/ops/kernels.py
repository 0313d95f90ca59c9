"""The one place where a faster ``warp`` and ``warp_combine`` plug in.

Both are operators of PyTorch (:mod:`netwarp.ops.operators`), which look their tensors' device type up in
:data:`WARP_COMBINE` and call what they find there. A device that is not listed gets the plain PyTorch of
:mod:`netwarp.ops.reference`, which every kernel is tested against.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any, Protocol

from torch import Tensor

from netwarp.ops import reference

log = logging.getLogger("netwarp")


class NotCompiledError(Exception):
    """Compiled code is not to be had here; its cause says why."""


class CompiledKernel:
    """A :class:`netwarp.ops.kernels.Kernel` that a module computes; plain PyTorch, after one warning, where it cannot.

    The module is imported at the first call, and with it a compiler, whose code then is compiled or fetched from disk.
    """

    def __init__(self, module: str, compiler: str, advice: str) -> None:
        self._module, self._compiler, self._advice = module, compiler, advice
        self.combine: Callable[..., Tensor] = partial(self._call, "combine")
        self.gradients: Callable[..., list[Tensor]] = partial(self._call, "gradients")
        self.usable = True  # whether the module did not fail yet

    def _call(self, function: str, *arguments: Any) -> Any:  # noqa: ANN401
        if self.usable:
            try:
                return getattr(import_module(self._module), function)(*arguments)
            except (ImportError, NotCompiledError) as error:
                self._give_up(error)
        return getattr(reference, function)(*arguments)

    def _give_up(self, error: Exception) -> None:
        self.usable = False
        cause = error.__cause__ or error
        log.warning(
            "the warp runs in plain PyTorch, several times slower: %s cannot compile it here (%s: %s); %s",
            self._compiler,
            type(cause).__name__,
            " ".join(str(cause).split())[:200],
            self._advice,
        )


class Kernel(Protocol):
    """What a kernel must look like: a module or an object with these two functions.

    Both compute in :func:`~netwarp.ops.reference.compute_dtype`; maps that they return have the
    :func:`~netwarp.ops.reference.memory_format` of ``current`` (of ``previous``, where there is none).
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
