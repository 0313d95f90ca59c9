"""The video network of the paper, unrolled by hand for :class:`model.tiny.TinyNet`: no hooks, no VideoModel.

Frames are floating point in 0–1 and the network takes them as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from model.tiny import TinyNet, tiny
from netwarp import VideoModel
from netwarp.model import FlowCNN
from netwarp.ops import resize_flow, warp

Combine = Callable[[str, Tensor], Tensor]


@dataclass
class ByHand:
    """TinyNet with w1 and w2 at some of its layers."""

    net: TinyNet
    weights: dict[str, tuple[Tensor, Tensor]]
    flow_cnn: FlowCNN | None = None

    def run(self, frame: Tensor, combine: Combine) -> Tensor:
        """The network's own steps, each layer through ``combine``; logits at frame size."""
        net = self.net
        x = combine("act", F.relu(combine("stem", net.stem(frame))))
        x = F.relu(combine("mid", net.mid(net.norm(x))))
        logits = combine("output", combine("head", net.head(net.drop(x))))
        return F.interpolate(logits, frame.shape[-2:], mode="bilinear", align_corners=False)

    def alone(self, frame: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """A frame on its own: logits and its representations."""
        kept: dict[str, Tensor] = {}

        def keep(name: str, z: Tensor) -> Tensor:
            kept[name] = z
            return z

        return self.run(frame, keep), kept

    def after(
        self, memory: dict[str, Tensor], current: Tensor, previous: Tensor, flow: Tensor
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """A frame with a memory: logits, its own representations, the combined ones."""
        if self.flow_cnn is not None:
            flow = self.flow_cnn(flow, current, previous)
        own: dict[str, Tensor] = {}
        fused: dict[str, Tensor] = {}

        def combine(name: str, z: Tensor) -> Tensor:
            own[name] = fused[name] = z
            if name in self.weights:
                w1, w2 = (w.view(1, -1, 1, 1) for w in self.weights[name])
                fused[name] = w1 * z + w2 * warp(memory[name], resize_flow(flow, (z.shape[2], z.shape[3])))
            return fused[name]

        return self.run(current, combine), own, fused

    def pair(self, current: Tensor, previous: Tensor, flow: Tensor) -> Tensor:
        """Two branches with shared weights, the second at its own representations."""
        return self.after(self.alone(previous)[1], current, previous, flow)[0]


def by_hand(model: VideoModel, net: TinyNet | None = None) -> ByHand:
    """The same network with a model's own weights."""
    weights = {name: (n.w1, n.w2) for name, n in zip(model.layers, model.netwarps, strict=True)}
    return ByHand(net or tiny(), weights, model.flow_cnn)
