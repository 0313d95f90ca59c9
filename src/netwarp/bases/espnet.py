"""ESPNet: Efficient Spatial Pyramid of Dilated Convolutions for Semantic Segmentation.

Mehta, Rastegari, Caspi, Shapiro, Hajishirzi, ECCV 2018 (arXiv 1803.06815). Written from the paper; the parameters have
the names of the authors' public weights, so that those load strictly.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from netwarp.errors import ConfigurationError
from netwarp.model.inputs import Preprocess

ESPNET_PREPROCESS = Preprocess(
    mean=(110.331, 108.409, 105.033),
    # The authors divide by the standard deviation and then by 255 once more.
    std=(72.126 * 255, 72.691 * 255, 69.904 * 255),
    scale=255.0,
    order="bgr",
    # Any size works (see ESPNet.forward); a multiple of 8 keeps each level's grid an exact fraction of the frame.
    divisor=8,
)
"""The preprocessing of the public weights: BGR in 0–255, normalised, and divided by 255."""

_DILATIONS = (1, 2, 4, 8, 16)


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(
        inputs, outputs, kernel, stride, padding=(kernel - 1) // 2 * dilation, dilation=dilation, bias=False
    )
    return nn.Sequential(OrderedDict(conv=convolution))


def _norm_act(channels: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(bn=nn.BatchNorm2d(channels, eps=1e-3), act=nn.PReLU(channels)))


def _conv_norm_act(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict([*_conv(inputs, outputs, kernel, stride).named_children(), *_norm_act(outputs).named_children()])
    )


def _upsample(channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels, channels, 2, stride=2, bias=False)


class _Pyramid(nn.Module):
    """Reduce, split and transform: the base of both ESP modules (paper, section 3.1).

    ``c1`` reduces to a K-th of the output channels; ``d1`` … ``d16`` are 3×3 convolutions of it, dilated by 2^(k-1),
    for K = 5 branches. The first branch takes the channels that do not divide by K.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        branches = len(_DILATIONS)
        narrow = outputs // branches
        if narrow < 1:
            raise ConfigurationError(f"an ESP module needs at least {branches} output channels, not {outputs}")
        self.c1 = _conv(inputs, narrow, kernel, stride)
        wide = outputs - (branches - 1) * narrow
        self.d1 = _conv(narrow, wide, 3, dilation=1)
        self.d2 = _conv(narrow, narrow, 3, dilation=2)
        self.d4 = _conv(narrow, narrow, 3, dilation=4)
        self.d8 = _conv(narrow, narrow, 3, dilation=8)
        self.d16 = _conv(narrow, narrow, 3, dilation=16)

    def merge(self, features: Tensor) -> Tensor:
        """Sum the branches from the smallest dilation to the largest, and concatenate the sums.

        Hierarchical feature fusion (paper, section 3.1): without the sums a large dilation leaves a grid in the output.
        ``d1`` is not summed, since its width may differ.
        """
        reduced = self.c1(features)
        fused = [self.d1(reduced), self.d2(reduced)]
        for branch in (self.d4, self.d8, self.d16):
            fused.append(fused[-1] + branch(reduced))
        return torch.cat(fused, dim=1)


class ESPModule(_Pyramid):
    """ESP module (paper, section 3.1, figure 1): point-wise reduction, pyramid of dilated convolutions, fusion."""

    def __init__(self, inputs: int, outputs: int, residual: bool = True) -> None:
        super().__init__(inputs, outputs, kernel=1, stride=1)
        if residual and inputs != outputs:
            raise ConfigurationError(f"a residual ESP module keeps its channels, not {inputs} to {outputs}")
        self.residual = residual
        self.bn = _norm_act(outputs)

    def forward(self, features: Tensor) -> Tensor:
        """``[B,inputs,H,W]`` to ``[B,outputs,H,W]``."""
        merged = self.merge(features)
        normalised: Tensor = self.bn(features + merged if self.residual else merged)
        return normalised


class StridedESPModule(_Pyramid):
    """Strided ESP module (paper, section 3.3): a 3×3 reduction of stride 2, no residual."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, kernel=3, stride=2)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)
        self.act = nn.PReLU(outputs)

    def forward(self, features: Tensor) -> Tensor:
        """``[B,inputs,H,W]`` to ``[B,outputs,⌈H/2⌉,⌈W/2⌉]``."""
        activated: Tensor = self.act(self.bn(self.merge(features)))
        return activated


class _Encoder(nn.Module):
    """Levels 1 to 3 (paper, figure 4), each with its reduced input concatenated."""

    def __init__(self, classes: int, p: int, q: int) -> None:
        super().__init__()
        self.level1 = _conv_norm_act(3, 16, 3, stride=2)
        # Reinforcement by the input image (section 3.3), averaged down to the level's size.
        self.reduce = nn.AvgPool2d(3, stride=2, padding=1)
        self.b1 = _norm_act(16 + 3)
        self.level2_0 = StridedESPModule(16 + 3, 64)
        self.level2 = nn.ModuleList(ESPModule(64, 64) for _ in range(p))
        self.b2 = _norm_act(2 * 64 + 3)
        self.level3_0 = StridedESPModule(2 * 64 + 3, 128)
        self.level3 = nn.ModuleList(ESPModule(128, 128) for _ in range(q))
        self.b3 = _norm_act(2 * 128)
        self.classifier = _conv(2 * 128, classes, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        half_image = self.reduce(image)
        half = self.b1(torch.cat([self.level1(image), half_image], dim=1))

        first = deepest = self.level2_0(half)
        for module in self.level2:
            deepest = module(deepest)
        quarter = self.b2(torch.cat([deepest, first, self.reduce(half_image)], dim=1))

        first = deepest = self.level3_0(quarter)
        for module in self.level3:
            deepest = module(deepest)
        eighth = self.b3(torch.cat([first, deepest], dim=1))
        return half, quarter, self.classifier(eighth)


class ESPNet(nn.Module):
    """ESPNet with its light-weight decoder (paper, section 3.3, figure 4d)."""

    def __init__(self, classes: int = 12, p: int = 2, q: int = 8) -> None:
        super().__init__()
        if classes < len(_DILATIONS):
            raise ConfigurationError(
                f"ESPNet needs at least {len(_DILATIONS)} classes, not {classes}: its decoder splits them into branches"
            )
        if p < 0 or q < 0:
            raise ConfigurationError(f"the numbers of ESP modules cannot be negative, got p={p} and q={q}")
        self.encoder = _Encoder(classes, p, q)
        self.br = nn.BatchNorm2d(classes, eps=1e-3)
        self.up_l3 = nn.Sequential(_upsample(classes))
        self.level3_C = _conv(2 * 64 + 3, classes, 1)
        self.combine_l2_l3 = nn.Sequential(_norm_act(2 * classes), ESPModule(2 * classes, classes, residual=False))
        self.up_l2 = nn.Sequential(_upsample(classes), _norm_act(classes))
        self.conv = _conv_norm_act(16 + 3 + classes, classes, 3)
        self.classifier = _upsample(classes)

    def forward(self, image: Tensor) -> Tensor:
        """Segment images ``[B,3,H,W]`` into logits ``[B,classes,H,W]``."""
        half, quarter, eighth = self.encoder(image)
        deep = _cut(self.up_l3(self.br(eighth)), quarter)
        fused = self.combine_l2_l3(torch.cat([self.level3_C(quarter), deep], dim=1))
        shallow = _cut(self.up_l2(fused), half)
        return _cut(self.classifier(self.conv(torch.cat([shallow, half], dim=1))), image)


def _cut(features: Tensor, like: Tensor) -> Tensor:
    return features[..., : like.shape[-2], : like.shape[-1]]
