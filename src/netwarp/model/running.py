"""Foreign networks, as they are run: in evaluation mode, and with an error of theirs told as such."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from netwarp.errors import InputError, NetWarpError, is_out_of_memory, reason_of


def set_mode(network: nn.Module, training: bool) -> nn.Module:
    """Put a network into training or evaluation mode, but for what ``torch.export`` made, which is left as it is."""
    try:
        network.train(training)
    except NotImplementedError:  # of one part: the others still have to hear of it
        for part in network.children():
            set_mode(part, training)
    return network


@contextmanager
def evaluating(base: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode inside the block; afterwards each module is in the mode it was in."""
    modes = {module: module.training for module in base.modules() if hasattr(module, "training")}  # not of frozen ones
    set_mode(base, False)
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def run(base: nn.Module, image: Tensor) -> Any:  # noqa: ANN401
    """What a network returns for an image ``[B,3,H,W]`` that is prepared for it."""
    try:
        return base(image)
    except NetWarpError:
        raise
    except Exception as error:  # a foreign network may raise anything
        # The trainer and the exporter know some errors of their own.
        if torch.is_grad_enabled() or torch.compiler.is_exporting() or is_out_of_memory(error):
            raise
        height, width = image.shape[2:]
        raise InputError(
            f"the base fails on an image of {width}×{height}: {reason_of(error)[:120]} (where it takes others alone, "
            "Preprocess(size=(H, W)) or --size brings frames to one)"
        ) from error
