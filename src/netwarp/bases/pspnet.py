"""PSPNet: pyramid scene parsing over a dilated residual network, in the form of its public Cityscapes model.

Zhao, Shi, Qi, Wang, Jia, "Pyramid Scene Parsing Network", CVPR 2017 (arXiv 1612.01105); He, Zhang, Ren, Sun, "Deep
Residual Learning for Image Recognition", CVPR 2016. Written from the papers and the layers' sizes; the modules have the
names of the public Caffe model: the NetWarp paper works at ``conv4_23`` and ``conv5_4`` (section 4.3).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netwarp.bases.spec import channels_at
from netwarp.errors import ConfigurationError, InputError
from netwarp.model.inputs import Preprocess

PSPNET_PREPROCESS = Preprocess(
    mean=(103.939, 116.779, 123.68), std=(1.0, 1.0, 1.0), scale=255.0, order="bgr", divisor=8, remainder=1
)
"""The preprocessing of the public weights: BGR in 0–255, less ImageNet's mean, in sizes of the form 8k+1."""

BINS = (1, 2, 3, 6)
"""Places a side of the pyramid's average pools."""

STEM = {"conv1_1_3x3_s2": 64, "conv1_2_3x3": 64, "conv1_3_3x3": 128}
"""The first convolutions, 3×3 each, and their channels; the first has stride 2."""

_PYRAMID, _HEAD = 512, 512  # channels of each level of the pyramid, and of conv5_4


@dataclass(frozen=True)
class Stage:
    """Bottlenecks of one size."""

    narrow: int  # channels inside of them
    stride: int = 1  # of the first one
    dilation: int = 1  # of their 3×3 convolutions


STAGES = {2: Stage(64), 3: Stage(128, stride=2), 4: Stage(256, dilation=2), 5: Stage(512, dilation=4)}
"""By the number in their layers' names. A stage returns four times its narrow channels."""


class ConvNorm(nn.Module):
    """A convolution without bias and its batch norm, which Caffe calls ``NAME`` and ``NAME/bn``."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            inputs, outputs, kernel, stride, padding=kernel // 2 * dilation, dilation=dilation, bias=False
        )
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")
        self.bn = nn.BatchNorm2d(outputs, eps=1e-5, momentum=0.05)

    def forward(self, features: Tensor) -> Tensor:
        """``[B,inputs,H,W]`` to ``[B,outputs,⌈H/stride⌉,⌈W/stride⌉]``."""
        normalised: Tensor = self.bn(self.conv(features))
        return normalised


class Bottleneck(nn.Module):
    """Residual block of 1×1, 3×3 and 1×1 convolutions (He et al., figure 5); its output is the ReLU of the sum."""

    def __init__(
        self, inputs: int, narrow: int, outputs: int, stride: int = 1, dilation: int = 1, project: bool = False
    ) -> None:
        super().__init__()
        self.add_module("1x1_reduce", ConvNorm(inputs, narrow))
        self.add_module("3x3", ConvNorm(narrow, narrow, 3, stride, dilation))
        self.add_module("1x1_increase", ConvNorm(narrow, outputs))
        if project:
            self.add_module("1x1_proj", ConvNorm(inputs, outputs, stride=stride))
        self._projects = project

    def forward(self, features: Tensor) -> Tensor:
        """``[B,inputs,H,W]`` to ``[B,outputs,⌈H/stride⌉,⌈W/stride⌉]``."""
        inner = F.relu(self.get_submodule("1x1_reduce")(features), inplace=True)
        inner = F.relu(self.get_submodule("3x3")(inner), inplace=True)
        shortcut = self.get_submodule("1x1_proj")(features) if self._projects else features
        return F.relu(shortcut + self.get_submodule("1x1_increase")(inner), inplace=True)


class PSPNet(nn.Module):
    """PSPNet over ResNet-101, the NetWarp paper's base network for Cityscapes (section 4.3), trained on 713×713.

    Any size of the form 8k+1 works. Maps are an eighth of the picture's size, with corner on corner: a map's outermost
    places lie on the picture's outermost pixels.
    """

    def __init__(
        self,
        classes: int = 19,
        width: float = 1.0,
        dropout: float = 0.1,
        blocks: tuple[int, int, int, int] = (3, 4, 23, 3),
    ) -> None:
        super().__init__()
        if len(blocks) != len(STAGES) or min(blocks) < 1:
            raise ConfigurationError(f"blocks are {len(STAGES)} numbers of at least 1, not {blocks}")
        inputs = 3
        for name, full in STEM.items():
            outputs = channels_at(width, full)
            self.add_module(name, ConvNorm(inputs, outputs, 3, stride=2 if inputs == 3 else 1))
            inputs = outputs
        self._blocks = tuple(
            (f"conv{number}_{i + 1}", stage, i == 0)
            for (number, stage), count in zip(STAGES.items(), blocks, strict=True)
            for i in range(count)
        )
        for name, stage, first in self._blocks:
            narrow, outputs = channels_at(width, stage.narrow), channels_at(width, 4 * stage.narrow)
            stride = stage.stride if first else 1
            self.add_module(name, Bottleneck(inputs, narrow, outputs, stride, stage.dilation, project=first))
            inputs = outputs
        level, head = channels_at(width, _PYRAMID), channels_at(width, _HEAD)
        for bins in BINS:
            self.add_module(f"conv5_3_pool{bins}_conv", ConvNorm(inputs, level))
        self.conv5_4 = ConvNorm(inputs + len(BINS) * level, head, 3)
        self.dropout = nn.Dropout(dropout)
        self.conv6 = nn.Conv2d(head, classes, 1)
        self._start()

    def _start(self) -> None:
        """Set weights to train from: residual branches so small that their sum stays at the scale of one of them."""
        for name, _, _ in self._blocks:
            last = self.get_submodule(f"{name}.1x1_increase.bn")
            assert isinstance(last, nn.BatchNorm2d)
            nn.init.constant_(last.weight, len(self._blocks) ** -0.5)
        nn.init.kaiming_normal_(self.conv6.weight, nonlinearity="linear")
        nn.init.zeros_(self.conv6.bias)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        """Segment images ``[B,3,H,W]`` into logits ``[B,classes,H,W]``."""
        height, width = image.shape[-2:]
        if height % 8 != 1 or width % 8 != 1:
            raise InputError(
                f"PSPNet takes sizes of the form 8k+1, such as 713×713, not {width}×{height}: "
                f"pad to {_next_size(width)}×{_next_size(height)}"
            )
        features = image
        for name in STEM:
            features = F.relu(self.get_submodule(name)(features), inplace=True)
        features = F.max_pool2d(features, 3, stride=2, padding=1, ceil_mode=True)
        for name, _, _ in self._blocks:
            features = self.get_submodule(name)(features)
        features = F.relu(self.conv5_4(self._pyramid(features)))
        logits: Tensor = self.conv6(self.dropout(features))
        return _enlarged(logits, (height, width))

    def _pyramid(self, features: Tensor) -> Tensor:
        """Concatenate the map and its averages over ever larger parts (Zhao et al., section 3.2)."""
        size = (features.shape[-2], features.shape[-1])
        levels = [features]
        for bins in reversed(BINS):
            level = self.get_submodule(f"conv5_3_pool{bins}_conv")
            if bins == 1 and features.shape[0] == 1 and level.get_submodule("bn").training:
                raise InputError(
                    "PSPNet cannot train its batch norms on one image at a time: its pyramid's top is a single value "
                    "there; take batches of 2 or more, or set the batch norms to eval()"
                )
            levels.append(_enlarged(F.relu(level(F.adaptive_avg_pool2d(features, bins)), inplace=True), size))
        return torch.cat(levels, dim=1)


def _enlarged(features: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(features, size=size, mode="bilinear", align_corners=True)


def _next_size(length: int) -> int:
    return -(-(length - 1) // 8) * 8 + 1
