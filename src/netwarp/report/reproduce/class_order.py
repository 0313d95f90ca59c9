"""Weights whose classes come in another order than the data's: the classifier's outputs are put in the data's order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch

from netwarp.atomic import written_whole
from netwarp.bases import load_base
from netwarp.bases.shipped import shipped_base
from netwarp.data.output_path import reason
from netwarp.errors import OutputError

__all__ = ["in_order_of"]


def in_order_of(names: Sequence[str], spec: str, weights: str, folder: Path) -> Path:
    """A file of weights whose outputs are in the order of the data's classes.

    The public weights of Dilation-CNN have CamVid's classes in an order of their own.

    Args:
        names: The data's classes.
        spec: The network: one of ``netwarp:NAME``.
        weights: A file of weights.
        folder: Where a file in the other order is kept.

    Returns:
        ``weights`` itself where the order is right, or where the names say nothing of it.

    Raises:
        NetWarpError: The weights are not the network's, or the file cannot be written.
    """
    from safetensors.torch import save

    network = load_base(spec, weights)
    theirs = tuple(network.classes)  # type: ignore[arg-type]
    if theirs == tuple(names) or sorted(theirs) != sorted(names):
        return Path(weights)
    order = torch.tensor([theirs.index(name) for name in names])
    state = {name: tensor.contiguous().clone() for name, tensor in network.state_dict().items()}
    head, dimension = shipped_base(spec.partition(":")[2]).head
    for name in (head, f"{head.removesuffix('.weight')}.bias"):
        if name in state:
            state[name] = state[name].index_select(dimension if name == head else 0, order)
    data = save(state)
    path = folder / f"ordered-{hashlib.sha256(data).hexdigest()[:12]}.safetensors"
    try:
        with written_whole(path) as file:
            file.write(data)
    except OSError as error:
        raise OutputError(f"cannot write {path} ({reason(error)}): free space or choose another --out") from error
    return path
