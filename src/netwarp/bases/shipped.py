"""The networks that netwarp ships (``netwarp:NAME``). To add one: write its module, and a line in :data:`BASES`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from netwarp.bases.checkpoint import load_weights, no_named_weights, outputs_in, read_weights, weights_file
from netwarp.bases.class_request import ClassRequest
from netwarp.bases.espnet import ESPNET_CAMVID, ESPNET_PREPROCESS, ESPNet
from netwarp.bases.source import BaseSource, carry
from netwarp.bases.streetnet import STREETNET_PREPROCESS, StreetNet
from netwarp.errors import unknown_name
from netwarp.model.label_set import CAMVID, LabelSet
from netwarp.model.preprocess import Preprocess

__all__ = ["BASES", "ShippedBase", "load_shipped", "rebuild_shipped"]


@dataclass(frozen=True)
class ShippedBase:
    """A network of ours.

    Attributes:
        build: Makes it with random weights for a number of classes.
        labels: What it was published with; their number is the default.
        preprocess: What it wants done to a frame.
        head: Name and dimension of the tensor whose size there is the number of classes.
    """

    build: Callable[[int], nn.Module]
    labels: LabelSet
    preprocess: Preprocess
    head: tuple[str, int]


BASES: dict[str, ShippedBase] = {
    "espnet": ShippedBase(ESPNet, ESPNET_CAMVID, ESPNET_PREPROCESS, head=("classifier.weight", 1)),
    "streetnet": ShippedBase(StreetNet, CAMVID, STREETNET_PREPROCESS, head=("classifier.weight", 0)),
}


def load_shipped(name: str, weights: str | Path | None, classes: int | Sequence[str] | None) -> nn.Module:
    """``netwarp:NAME``: see :func:`netwarp.bases.load_base`."""
    base = _base(name)
    spec = f"netwarp:{name}"
    path = weights_file(weights)
    if path is None and weights is not None:
        raise no_named_weights(weights, spec)
    state = None if path is None else read_weights(path)
    asked = ClassRequest.of(classes)
    held = None if state is None else outputs_in(state, [base.head])
    count = asked.agreed(held, len(base.labels), spec)
    network = base.build(count)
    if state is not None and path is not None:
        load_weights(network, state, path)
    labels = asked.labels(count, base.labels)
    return carry(network, BaseSource(spec, labels.names, labels.palette, base.preprocess))


def rebuild_shipped(source: BaseSource) -> nn.Module:
    """The network of a source, with random weights."""
    return _base(source.name).build(len(source.classes))


def _base(name: str) -> ShippedBase:
    if name not in BASES:
        raise unknown_name("netwarp network", name, BASES)
    return BASES[name]
