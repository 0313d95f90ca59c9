"""``torchvision:NAME``: the segmentation networks of torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from netwarp.bases.spec import BaseSource, ClassRequest, attach_source, canonical_name, outputs_in, weights_file
from netwarp.errors import unknown_name
from netwarp.label_sets import VOC
from netwarp.model.inputs import Preprocess
from netwarp.weights import load_weights, published_weights, read_weights

# Last convolutions of FCN and DeepLab, and of LR-ASPP.
_HEADS = (("classifier.4.weight", 0), ("classifier.low_classifier.weight", 0))


def load_torchvision(name: str, weights: str | Path | None, classes: int | Sequence[str] | None) -> nn.Module:
    """``torchvision:NAME``: see :func:`netwarp.bases.load_base`.

    The auxiliary classifier that some weights hold is left out: only training uses it, and it costs time a frame.
    """
    name = _name(name)
    spec = f"torchvision:{name}"
    asked = ClassRequest.of(classes)
    state, origin = _weights(name, weights)
    held = None if state is None else outputs_in(state, _HEADS)
    count = asked.agreed(held, len(VOC), spec)
    network = _build(name, count)
    if state is not None:
        load_weights(network, state, origin, spare=("aux_classifier.",))
    labels = asked.labels(count, VOC)
    return attach_source(network, BaseSource(spec, labels.names, labels.palette, Preprocess()))


def rebuild_torchvision(source: BaseSource) -> nn.Module:
    """Build the network of a source with random weights."""
    return _build(_name(source.name), len(source.classes))


def _name(name: str) -> str:
    from torchvision import models

    return canonical_name("torchvision segmentation network", name, models.list_models(module=models.segmentation))


def _build(name: str, classes: int) -> nn.Module:
    from torchvision import models

    network: nn.Module = models.get_model(name, weights=None, weights_backbone=None, num_classes=classes)
    return network


def _weights(name: str, weights: str | Path | None) -> tuple[dict[str, Tensor] | None, str]:
    """The state dict that ``weights`` means, and where it comes from."""
    from torchvision import models

    if weights is None:
        return None, ""
    path = weights_file(weights)
    if path is not None:
        return read_weights(path), str(path)
    published: dict[str, Any] = {w.name: w for w in models.get_model_weights(name)}
    wanted = str(weights).rpartition(".")[2]
    if wanted.casefold() == "default":
        chosen = models.get_model_weights(name).DEFAULT
    else:
        key = next((known for known in published if known.casefold() == wanted.casefold()), None)
        if key is None:
            raise unknown_name(f"weights of torchvision:{name}", str(weights), ["default", *published])
        chosen = published[key]
    network = f"torchvision:{name}"
    return published_weights(chosen, network, "give the file as weights"), f"torchvision's {chosen.name}"
