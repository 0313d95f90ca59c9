"""The networks that are streamed, and the models around them: a network is one entry in :data:`NETWORKS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from netwarp.bases import load_base
from netwarp.bases.spec import lay_out
from netwarp.lab.benchmark.plan import Request
from netwarp.model import FlowCNN, VideoModel
from netwarp.ops import warp_combine
from netwarp.streets import render_clip
from netwarp.video.open import open_frames
from netwarp.video.source import Frame, FrameSource, Wrapped
from netwarp.video.writer import VideoWriter

AHEAD = 8
"""Frames that a video has behind the last one that counts: more than reading and flow are ever ahead of the network.

Streams are timed between two results, while the video goes on. What was prepared before the first of them is as much
as what is prepared, but not used, at the last: no work is counted that belongs to other frames, and none is missing.
"""

RENDERED = 16
"""Frames that are rendered; longer videos go there and back over them."""

SEED = 3


def write_street(folder: Path, size: tuple[int, int], frames: int) -> Path:
    """Write a video of a drive through a street, unless it is there."""
    path = folder / f"street-{size[1]}x{size[0]}-{frames}.mp4"
    if not path.exists():
        images = [frame.image for frame in render_clip(SEED, min(frames, RENDERED), size)]
        with VideoWriter(path, fps=15) as writer:
            for image in islice(cycle(images + images[-2:0:-1]), frames):
                writer.write(image)
    return path


def open_street(path: Path, size: tuple[int, int]) -> FrameSource:
    """Open a video that :func:`write_street` wrote: frames of exactly that size, also where H.264 wants even sides."""
    source = open_frames(path)
    return source if source.size == size else _Cut(source, size)


class _Cut(Wrapped):
    """Frames without their last row or column."""

    def __init__(self, source: FrameSource, size: tuple[int, int]) -> None:
        super().__init__(source)
        self.length, self.size = source.length, size

    def __iter__(self) -> Iterator[Frame]:
        height, width = self.size or (0, 0)
        for frame in self._source:
            yield replace(frame, image=np.ascontiguousarray(frame.image[:height, :width]))


FLOW_CNNS: dict[str, Callable[[], FlowCNN]] = {
    "at layer stride": lambda: FlowCNN(stride=None),
    "at full size": FlowCNN,
    "release": lambda: FlowCNN("release"),
}
"""By name: what a model gets that is asked for nothing else, the paper's own form, and that of its release."""


@dataclass(frozen=True)
class Around:
    """A video model around a network. Its weights are those it starts with: they make no difference to time."""

    # where it has NetWarps; none is frame by frame, None the mode that needs no training
    layers: tuple[str, ...] | None
    flow_cnn: str | None = None  # out of FLOW_CNNS, or None

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
    """A network and where one would put NetWarps in it."""

    name: str  # on the command line
    spec: str  # for load_base
    title: str  # what the table calls it
    netwarps: tuple[Around, ...]  # trained models around it
    rendered: bool = False  # whether an overlay video is written as well, in another column

    @property
    def models(self) -> tuple[Around, ...]:
        """All that are streamed, frame by frame first."""
        return FRAME_BY_FRAME, *self.netwarps, TRAINING_FREE


def _netwarps(*layers: str) -> tuple[Around, ...]:
    return Around(layers, "at layer stride"), Around(layers, "at full size")


_ALL = (
    # log_probs is what gains most when it is trained (docs/experiment.md).
    Network("espnet", "netwarp:espnet", "ESPNet", (*_netwarps("encoder.b3"), Around(("log_probs",))), rendered=True),
    Network("lraspp", "torchvision:lraspp_mobilenet_v3_large", "LR-ASPP", _netwarps("classifier.cbr")),
    # Where the paper has them (sections 4.2 and 4.3): dilation8's are in its context module.
    Network(
        "dilation8",
        "netwarp:dilation8",
        "Dilation8",
        _netwarps("ctx_conv1_1", "ctx_conv1_2", *(f"ctx_conv{n}_1" for n in range(2, 6)), "ctx_fc1", "ctx_final"),
    ),
    Network("pspnet101", "netwarp:pspnet101", "PSPNet-101", _netwarps("conv4_23", "conv5_4")),
)
NETWORKS = {network.name: network for network in _ALL}

SMALL = Network("streetnet", "netwarp:streetnet", "StreetNet", (Around(("at_eighth",), "at layer stride"),))
"""For memory, where the network's own share is to be small."""


def load_network(network: Network, weights: str | None, device: str) -> nn.Module:
    """The network on its device, laid out as ``netwarp segment`` does; without weights with random ones, the same."""
    torch.manual_seed(0)
    base = load_base(network.spec, weights).to(device).eval()
    lay_out(base)
    return base


def prepare(
    network: Network, request: Request, folder: Path, size: tuple[int, int], frames: int
) -> tuple[nn.Module, Path]:
    """Make this process one that streams as ``netwarp segment`` does: the network that it needs, and the video."""
    # The warp's loops are else loaded at the first frame with a past.
    for layout in (torch.contiguous_format, torch.channels_last):
        maps = torch.zeros(1, 4, 8, 8).contiguous(memory_format=layout)
        warp_combine(maps, maps, torch.zeros(1, 2, 8, 8), torch.ones(4), torch.ones(4), torch.ones(1, 1, 8, 8))
    weights = request.weight_files.get(network.name)
    return load_network(network, weights, request.device), write_street(folder, size, frames)
