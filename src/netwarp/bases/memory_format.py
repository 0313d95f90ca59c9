"""How a network's numbers lie in memory: the same network, faster on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from netwarp.model.inputs import base_device

__all__ = ["lay_channels_last", "lay_out"]

KNOWN = ("netwarp", "smp", "torchvision")
"""Schemes of networks that work so: all that were tried are faster, 'python benchmarks/memory_format.py'."""


def lay_out(base: nn.Module) -> None:
    """Lay a network on the CPU out as it is fastest, if it comes from where networks are known not to mind.

    By a rule, not by the clock: a network that is laid out one way today and another tomorrow rounds otherwise.
    """
    scheme = getattr(getattr(base, "source", None), "scheme", None)
    if scheme in KNOWN and base_device(base).type == "cpu":
        lay_channels_last(base)


def lay_channels_last(base: nn.Module) -> nn.Module:
    """Let a convolutional network work with the channels of a pixel side by side in memory.

    Weights and input are laid out so, from which everything between follows; results differ by rounding alone. On a CPU
    that saves time. A network that looks at its memory in the usual order, with ``view`` across channels and pixels,
    cannot work so.
    """
    base.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    # Without it, what comes straight from the image would spoil what it is put together with.
    base.register_forward_pre_hook(_with_channels_last)
    return base


def _with_channels_last(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        value.contiguous(memory_format=torch.channels_last) if isinstance(value, Tensor) and value.ndim == 4 else value
        for value in inputs
    )
