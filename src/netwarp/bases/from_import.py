"""``package.module:callable``: networks that the user's own code builds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn
from torch.nn.parameter import is_lazy

from netwarp.bases.spec import BaseSource, ClassRequest, attach_source, weights_from_file
from netwarp.errors import ConfigurationError
from netwarp.imports import own_part
from netwarp.label_sets import LabelSet
from netwarp.model.inputs import Preprocess
from netwarp.model.layers import probe
from netwarp.weights import check_finite, load_weights


def load_import(
    spec: str,
    weights: str | Path | None,
    classes: int | Sequence[str] | None,
    example_size: tuple[int, int] | None = None,
) -> nn.Module:
    """``package.module:callable``: see :func:`netwarp.bases.load_base`."""
    state = weights_from_file(weights, spec)
    asked = ClassRequest.of(classes)
    network = _call(spec, asked.count)
    preprocess = getattr(network, "preprocess", None)
    if preprocess is None:
        preprocess = Preprocess()
    elif not isinstance(preprocess, Preprocess):
        raise ConfigurationError(f"{spec}: its .preprocess is {type(preprocess).__name__}, not netwarp.Preprocess")
    if state is not None and weights is not None:
        load_weights(network, state, weights)
    else:
        check_finite(network.state_dict(), spec)
    known = _labels(network, spec)
    count = len(known) if known is not None else probe(network, preprocess, example_size).classes
    if asked.count not in (None, count):
        raise ConfigurationError(
            f"{spec} has {count} outputs, not the {asked.count} of {{option}}: leave that out, or let it take classes=",
            option="classes",
        )
    labels = asked.labels(count, known)
    return attach_source(network, BaseSource(spec, labels.names, labels.palette, preprocess))


def rebuild_import(source: BaseSource) -> nn.Module:
    """Build the network of a source, as its callable does."""
    return _call(source.spec, len(source.classes))


def _call(spec: str, classes: int | None) -> nn.Module:
    network = own_part(spec, "the network", **({} if classes is None else {"classes": classes}))
    if not isinstance(network, nn.Module):
        raise ConfigurationError(f"{spec} returns {type(network).__name__}, not a torch.nn.Module")
    if any(is_lazy(tensor) for tensor in network.parameters()):
        raise ConfigurationError(f"{spec} returns lazy layers without weights: run the network once before that")
    return network


def _labels(network: nn.Module, spec: str) -> LabelSet | None:
    """The network's own ``.classes`` and ``.palette``, if it has them."""
    classes = getattr(network, "classes", None)
    if not isinstance(classes, Sequence) or isinstance(classes, str):
        return None
    labels = ClassRequest.of(tuple(classes)).labels(len(classes))
    palette = getattr(network, "palette", None)
    if palette is None:
        return labels
    try:
        return LabelSet(labels.names, tuple((int(r), int(g), int(b)) for r, g, b in palette))
    except (TypeError, ValueError):
        raise ConfigurationError(f"{spec}: its .palette must be one (red, green, blue) for each class") from None
