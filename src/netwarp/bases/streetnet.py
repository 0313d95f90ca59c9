"""StreetNet: a small fast network for rendered streets, trained in a minute on two CPU cores (``netwarp demo``).

Most of it works at an eighth of the frame's size: thin things break up and labels flicker, as in other fast networks.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from netwarp.model.inputs import Preprocess

STREETNET_PREPROCESS = Preprocess(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), divisor=8)


def _conv_norm_act(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class _Residual(nn.Module):
    """Two 3×3 convolutions, the second dilated, added to their input."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.first = _conv_norm_act(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(features + self.norm(self.second(self.first(features))))


class StreetNet(nn.Module):
    """Residual encoder down to an eighth of the frame's size; a decoder that adds its levels up to a half."""

    def __init__(self, classes: int = 11) -> None:
        super().__init__()
        self.at_half = _conv_norm_act(3, 16, stride=2)
        self.at_quarter = nn.Sequential(_conv_norm_act(16, 32, stride=2), _Residual(32))
        self.at_eighth = nn.Sequential(_conv_norm_act(32, 64, stride=2), *(_Residual(64, d) for d in (1, 2, 4, 8)))
        self.from_quarter = nn.Conv2d(32, 32, 1)
        self.from_eighth = nn.Conv2d(64, 32, 1)
        self.fuse_quarter = nn.Sequential(nn.ReLU(), _conv_norm_act(32, 32), nn.Conv2d(32, 16, 1))
        self.fuse_half = nn.Sequential(nn.ReLU(), _conv_norm_act(16, 16))
        self.classifier = nn.Conv2d(16, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Segment images ``[B,3,H,W]`` into logits ``[B,classes,H/2,W/2]``."""
        half = self.at_half(image)
        quarter = self.at_quarter(half)
        eighth = self.from_eighth(self.at_eighth(quarter))
        quarter = self.fuse_quarter(_enlarge(eighth, quarter) + self.from_quarter(quarter))
        logits: Tensor = self.classifier(self.fuse_half(_enlarge(quarter, half) + half))
        return logits


def _enlarge(features: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(features, size=like.shape[-2:], mode="bilinear", align_corners=False)
