"""A frozen network is in evaluation mode: dropout is off, and batch norm keeps its statistics."""

from __future__ import annotations

from torch import nn

__all__ = ["rest_frozen"]


def rest_frozen(network: nn.Module) -> None:
    """Put what is frozen of a network into evaluation mode: parts that have parameters, none of them to be trained.

    Args:
        network: As a whole it is also frozen where it has no parameters at all.
    """
    if any(parameter.requires_grad for parameter in network.parameters()):
        _rest_parts(network)
    else:
        network.eval()


def _rest_parts(module: nn.Module) -> None:
    for part in module.children():
        trained = [parameter.requires_grad for parameter in part.parameters()]
        if any(trained):
            _rest_parts(part)
        elif trained:
            part.eval()
