"""Activation checkpointing: activations are not kept for the backward pass but computed again in it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

Result = TypeVar("Result")


def recomputed(part: Callable[[Tensor], Result], frame: Tensor, module: nn.Module) -> Result:
    """Compute ``part(frame)`` and keep only the result.

    Gradients are those of ``part`` itself: the second run draws the same random numbers, and batch norm does not count
    a batch twice.
    """
    if not torch.is_grad_enabled():
        return part(frame)
    again = _StatisticsHeld(module)
    result: Result = checkpoint(part, frame, use_reentrant=False, context_fn=lambda: (nullcontext(), again))
    return result


class _StatisticsHeld(AbstractContextManager[None]):
    """Keep the running statistics of batch norms in training mode as they are, inside the block."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._held: list[tuple[_BatchNorm, float | None, Tensor | None]] = []

    def __enter__(self) -> None:
        norms = [m for m in self._module.modules() if isinstance(m, _BatchNorm) and m.training]
        self._held = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
        for norm in norms:
            norm.momentum, norm.num_batches_tracked = 0.0, None

    def __exit__(self, *_: object) -> None:
        for norm, momentum, batches in self._held:
            norm.momentum, norm.num_batches_tracked = momentum, batches
        self._held = []
