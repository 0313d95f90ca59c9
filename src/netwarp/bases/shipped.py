"""The networks that netwarp ships (``netwarp:NAME``). To add one: write its module, and an entry in :data:`BASES`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from netwarp.bases.dilated_vgg import (
    DILATION_CAMVID,
    VGG_CAMVID_PREPROCESS,
    VGG_CITYSCAPES_PREPROCESS,
    Dilation,
    PlayData,
    start_from_vgg16,
)
from netwarp.bases.enet import ENET_PREPROCESS, ENet
from netwarp.bases.espnet import ESPNET_PREPROCESS, ESPNet
from netwarp.bases.pspnet import PSPNET_PREPROCESS, PSPNet
from netwarp.bases.spec import (
    BaseSource,
    ClassRequest,
    attach_source,
    outputs_in,
    weights_file,
    weights_from_file,
    width_of,
)
from netwarp.bases.streetnet import STREETNET_PREPROCESS, StreetNet
from netwarp.errors import ConfigurationError, unknown_name
from netwarp.label_sets import CAMVID, CAMVID_AND_VOID, CITYSCAPES, LabelSet
from netwarp.model.inputs import Preprocess
from netwarp.weights import load_weights, published_weights


@dataclass(frozen=True)
class ShippedBase:
    """A network that netwarp ships."""

    build: Callable[..., nn.Module]  # for a number of classes, with random weights
    labels: LabelSet  # that it was published with; their number is the default
    preprocess: Preprocess
    head: tuple[str, int]  # name and dimension of the tensor whose size there is the number of classes
    widths: bool = False  # whether it takes width=, a fraction of its channels, NAME@FRACTION
    vgg16: bool = False  # whether it starts from ImageNet's VGG-16 with weights="imagenet"


_VGG = partial(ShippedBase, head=("ctx_final.weight", 0), widths=True, vgg16=True)

BASES: dict[str, ShippedBase] = {
    "espnet": ShippedBase(ESPNet, CAMVID_AND_VOID, ESPNET_PREPROCESS, head=("classifier.weight", 1)),
    "enet": ShippedBase(ENet, CAMVID_AND_VOID, ENET_PREPROCESS, head=("fullconv.weight", 1)),
    "streetnet": ShippedBase(StreetNet, CAMVID, STREETNET_PREPROCESS, head=("classifier.weight", 0)),
    # The published order of PlayData-CNN's classes is not known: this is the data set's.
    "playdata": _VGG(PlayData, CAMVID, VGG_CAMVID_PREPROCESS, head=("fc8.weight", 0)),
    "dilation8": _VGG(partial(Dilation, levels=8), DILATION_CAMVID, VGG_CAMVID_PREPROCESS),
    "dilation10": _VGG(partial(Dilation, levels=10), CITYSCAPES, VGG_CITYSCAPES_PREPROCESS),
    "pspnet101": ShippedBase(PSPNet, CITYSCAPES, PSPNET_PREPROCESS, head=("conv6.weight", 0), widths=True),
}


def shipped_base(name: str) -> ShippedBase:
    """The network named by ``NAME`` or ``NAME@FRACTION``.

    >>> sum(p.numel() for p in shipped_base("playdata@0.125").build(11).parameters())
    2105011
    """
    plain, at, fraction = name.partition("@")
    if plain not in BASES:
        raise unknown_name("netwarp network", plain, BASES)
    base = BASES[plain]
    if not at:
        return base
    if not base.widths:
        others = ", ".join(other for other, its in BASES.items() if its.widths)
        raise ConfigurationError(f"netwarp:{plain} has one width: leave @{fraction} out ({others} have others)")
    return replace(base, build=partial(base.build, width=width_of(fraction)))


def load_shipped(name: str, weights: str | Path | None, classes: int | Sequence[str] | None) -> nn.Module:
    """``netwarp:NAME``: see :func:`netwarp.bases.load_base`."""
    base = shipped_base(name)
    spec = f"netwarp:{name}"
    from_imagenet = base.vgg16 and weights == "imagenet" and weights_file(weights) is None
    if from_imagenet and "@" in name:
        raise ConfigurationError(f"ImageNet's VGG-16 has all channels: write netwarp:{name.partition('@')[0]}")
    state = None if from_imagenet else weights_from_file(weights, spec, "imagenet or " if base.vgg16 else "")
    asked = ClassRequest.of(classes)
    held = None if state is None else outputs_in(state, [base.head])
    count = asked.agreed(held, len(base.labels), spec)
    network = base.build(count)
    if state is not None and weights is not None:
        load_weights(network, state, weights)
    if from_imagenet:
        from torchvision.models import VGG16_Weights

        advice = f"put the file into {Path(torch.hub.get_dir()) / 'checkpoints'}"
        published = published_weights(VGG16_Weights.IMAGENET1K_V1, "VGG-16", advice)
        start_from_vgg16(network, base.preprocess, published)
    labels = asked.labels(count, base.labels)
    return attach_source(network, BaseSource(spec, labels.names, labels.palette, base.preprocess))


def rebuild_shipped(source: BaseSource) -> nn.Module:
    """Build the network of a source with random weights."""
    return shipped_base(source.name).build(len(source.classes))
