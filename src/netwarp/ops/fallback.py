"""Kernels that are compiled on the user's machine, and what does the work where they cannot be."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from torch import Tensor

from netwarp.ops import reference

__all__ = ["CompiledKernel", "NotCompiledError"]

log = logging.getLogger("netwarp")


class NotCompiledError(Exception):
    """Compiled code is not to be had here; its cause says why."""


class CompiledKernel:
    """A :class:`netwarp.ops.kernels.Kernel` that a module computes; plain PyTorch, after one warning, where it cannot.

    The module is imported at the first call, and with it a compiler, whose code then is compiled or fetched from disk.

    Attributes:
        usable: Whether the module did not fail yet.
    """

    def __init__(self, module: str, compiler: str, advice: str) -> None:
        self._module, self._compiler, self._advice = module, compiler, advice
        self.usable = True

    def combine(
        self,
        current: Tensor | None,
        previous: Tensor,
        flow: Tensor,
        w1: Tensor | None,
        w2: Tensor | None,
        gate: Tensor | None,
    ) -> Tensor:
        """See :meth:`netwarp.ops.kernels.Kernel.combine`."""
        combined: Tensor = self._call("combine", current, previous, flow, w1, w2, gate)
        return combined

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
        """See :meth:`netwarp.ops.kernels.Kernel.gradients`."""
        found: list[Tensor] = self._call("gradients", grad, current, previous, flow, w1, w2, gate, needed)
        return found

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
