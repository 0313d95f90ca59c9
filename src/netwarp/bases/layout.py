"""How a network's numbers lie in memory: the same network, faster on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["lay_channels_last"]


def lay_channels_last(base: nn.Module) -> nn.Module:
    """Let a convolutional network work with the channels of a pixel side by side in memory.

    Weights and input are laid out so, from which everything between follows; results differ by rounding alone. On a CPU
    that saves time: ESPNet takes 56 instead of 64 ms for 480×360 on one core. A network that looks at its memory in the
    usual order, with ``view`` across channels and pixels, cannot work so.

    Args:
        base: The network; is changed. Its ``state_dict()`` keeps its keys and values.

    Returns:
        The network.
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
