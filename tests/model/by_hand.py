"""The video network of the paper, unrolled by hand for :class:`model.tiny.TinyNet`: no hooks, no VideoModel.

Frames are floating point in 0–1 and the network takes them as they are.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from model.tiny import TinyNet, tiny
from netwarp import VideoModel
from netwarp.model import FlowCNN
from netwarp.ops import warp

Combine = Callable[[str, Tensor], Tensor]


def flow_at(flow: Tensor, stride: float, offset: float, size: tuple[int, int]) -> Tensor:
    """F[s·i + o]/s by ``grid_sample``, with the border going on."""
    y, x = (stride * torch.arange(n, dtype=torch.float64) + offset for n in size)
    h, w = flow.shape[-2:]
    places = torch.stack(torch.meshgrid(2 * y / (h - 1) - 1, 2 * x / (w - 1) - 1, indexing="ij")[::-1], -1)
    places = places.to(flow.dtype).expand(len(flow), *size, 2)
    return F.grid_sample(flow, places, padding_mode="border", align_corners=True) / stride


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
        stride, begins = 1, 0.0
        if self.flow_cnn is not None:
            flow, stride = self.flow_cnn(flow, current, previous), self.flow_cnn.stride
            begins = (stride - 1) / 2 if self.flow_cnn.offset is None else self.flow_cnn.offset[0]
        own: dict[str, Tensor] = {}
        fused: dict[str, Tensor] = {}

        def combine(name: str, z: Tensor) -> Tensor:
            own[name] = fused[name] = z
            if name in self.weights:
                w1, w2 = (w.view(1, -1, 1, 1) for w in self.weights[name])
                # All at stride 2, where the convolution's middle lies; the logits belong to their cells' middle.
                place = (0.5 if name == "output" else 0.0) - begins
                seen = flow_at(flow, 2 / stride, place / stride, (z.shape[2], z.shape[3]))
                fused[name] = w1 * z + w2 * warp(memory[name], seen)
            return fused[name]

        return self.run(current, combine), own, fused

    def pair(self, current: Tensor, previous: Tensor, flow: Tensor) -> Tensor:
        """Two branches with shared weights, the second at its own representations."""
        return self.after(self.alone(previous)[1], current, previous, flow)[0]


def by_hand(model: VideoModel, net: TinyNet | None = None) -> ByHand:
    """The same network with a model's own weights."""
    weights = {name: (n.w1, n.w2) for name, n in zip(model.layers, model.netwarps, strict=True)}
    return ByHand(net or tiny(), weights, model.flow_cnn)
