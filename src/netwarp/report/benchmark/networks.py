"""The networks that are streamed, and the models around them: a network is one entry in :data:`NETWORKS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from netwarp.bases import load_base
from netwarp.bases.layout import lay_out
from netwarp.model import FlowCNN, VideoModel

__all__ = [
    "FLOW_CNNS",
    "FRAME_BY_FRAME",
    "NETWORKS",
    "SMALL",
    "TRAINING_FREE",
    "Around",
    "Network",
    "load_network",
]

FLOW_CNNS: dict[str, Callable[[], FlowCNN]] = {
    "at layer stride": lambda: FlowCNN(stride=None),
    "at full size": FlowCNN,
    "release": lambda: FlowCNN("release"),
}
"""By name: what a model gets that is asked for nothing else, the paper's own form, and that of its release."""


@dataclass(frozen=True)
class Around:
    """A video model around a network. Its weights are those it starts with: they make no difference to time.

    Attributes:
        layers: Where it has NetWarps; none is frame by frame, None the mode that needs no training.
        flow_cnn: Out of :data:`FLOW_CNNS`, or None.
    """

    layers: tuple[str, ...] | None
    flow_cnn: str | None = None

    @property
    def name(self) -> str:
        """For the table.

        >>> Around(("conv5_4",), "at layer stride").name
        'NetWarp at conv5_4, FlowCNN at layer stride'
        """
        if self.layers is None:
            return "training-free"
        if not self.layers:
            return "frame by frame"
        where = " and ".join(self.layers) if len(self.layers) < 3 else f"{len(self.layers)} layers"
        return f"NetWarp at {where}" + (f", FlowCNN {self.flow_cnn}" if self.flow_cnn else "")

    def build(self, base: nn.Module, flow: str) -> VideoModel:
        """Make it, ready to stream."""
        if self.layers is None:
            return VideoModel(base, training_free=True, flow=flow).eval()
        options: dict[str, Any] = {"start": (0.5, 0.5), "memory": "previous"}
        if self.layers == ("log_probs",):
            options["memory"] = "fused"  # as it is trained there (docs/experiment.md)
        cnn = FLOW_CNNS[self.flow_cnn]() if self.flow_cnn else None
        return VideoModel(base, self.layers, flow, cnn, **options).eval()


FRAME_BY_FRAME = Around(())
TRAINING_FREE = Around(None)


@dataclass(frozen=True)
class Network:
    """A network and where one would put NetWarps in it.

    Attributes:
        spec: For :func:`netwarp.load_base`.
        title: What the table calls it.
        netwarps: Trained models around it.
        rendered: Whether an overlay video is written as well, in another column.
    """

    spec: str
    title: str
    netwarps: tuple[Around, ...]
    rendered: bool = False

    @property
    def models(self) -> tuple[Around, ...]:
        """All that are streamed, frame by frame first."""
        return FRAME_BY_FRAME, *self.netwarps, TRAINING_FREE


CONTEXT = ("ctx_conv1_1", "ctx_conv1_2", *(f"ctx_conv{number}_1" for number in range(2, 6)), "ctx_fc1", "ctx_final")
"""Dilation8's context module."""

NETWORKS: dict[str, Network] = {
    "espnet": Network(
        "netwarp:espnet",
        "ESPNet",
        (
            Around(("encoder.b3",), "at layer stride"),
            Around(("encoder.b3",), "at full size"),
            # What gains most when it is trained (docs/experiment.md).
            Around(("log_probs",)),
        ),
        rendered=True,
    ),
    "lraspp": Network(
        "torchvision:lraspp_mobilenet_v3_large",
        "LR-ASPP",
        (Around(("classifier.cbr",), "at layer stride"), Around(("classifier.cbr",), "at full size")),
    ),
    # Where the paper has them (sections 4.2 and 4.3).
    "dilation8": Network(
        "netwarp:dilation8", "Dilation8", (Around(CONTEXT, "at layer stride"), Around(CONTEXT, "at full size"))
    ),
    "pspnet101": Network(
        "netwarp:pspnet101",
        "PSPNet-101",
        (
            Around(("conv4_23", "conv5_4"), "at layer stride"),
            Around(("conv4_23", "conv5_4"), "at full size"),
        ),
    ),
}

SMALL = Network("netwarp:streetnet", "StreetNet", (Around(("at_eighth",), "at layer stride"),))
"""For memory, where the network's own share is to be small."""


def load_network(network: Network, weights: str | None, device: str) -> nn.Module:
    """The network on its device, laid out as ``netwarp segment`` does; without weights with random ones, the same."""
    torch.manual_seed(0)
    base = load_base(network.spec, weights).to(device).eval()
    lay_out(base)
    return base
