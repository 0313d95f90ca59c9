"""Channels-last memory format of networks, which is faster on a CPU."""

from __future__ import annotations

import torch
from torch import nn

from netwarp.model.inputs import base_device, channels_last_inputs

KNOWN = ("netwarp", "smp", "torchvision")
"""Schemes whose networks work so; all that were tried are faster ('python benchmarks/memory_format.py')."""


def lay_out(base: nn.Module) -> None:
    """Set channels-last format for a network on the CPU, if its scheme is known to work so.

    By a rule, not by the clock: with another format a network rounds otherwise, and results must repeat.
    """
    scheme = getattr(getattr(base, "source", None), "scheme", None)
    if scheme in KNOWN and base_device(base).type == "cpu":
        lay_channels_last(base)


def lay_channels_last(base: nn.Module) -> nn.Module:
    """Set channels-last format for a network's weights and inputs, and so for all maps between.

    Results differ by rounding. A network that uses ``view`` across channels and pixels cannot work so.
    """
    base.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    # Otherwise layers that run on the image itself would give maps in the usual order, to be mixed with the others.
    base.register_forward_pre_hook(channels_last_inputs)
    return base
