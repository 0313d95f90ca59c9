"""ENet: A Deep Neural Network Architecture for Real-Time Semantic Segmentation.

Paszke, Chaurasia, Kim, Culurciello, 2016 (arXiv 1606.02147). Written from the paper; the parameters have the names of
public weights for CamVid, so that those load strictly.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netwarp.model.inputs import Preprocess

ENET_PREPROCESS = Preprocess(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), size=(512, 512))
"""The preprocessing of the public weights: RGB in 0–1, resized to 512×512."""

_DROPOUT = 0.1  # behind bottleneck 2.0; before it 0.01 (paper, section 4)


class _InitialBlock(nn.Module):
    """Initial block (paper, figure 2a): a strided convolution beside max pooling."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.maxpool = nn.MaxPool2d(2, ceil_mode=True)
        self.conv = nn.Conv2d(3, outputs - 3, 3, stride=2, padding=1)
        self.batchnorm = nn.BatchNorm2d(outputs - 3)
        self.prelu = nn.PReLU(outputs)

    def forward(self, image: Tensor) -> Tensor:
        """``[B,3,H,W]`` to ``[B,outputs,⌈H/2⌉,⌈W/2⌉]``."""
        activated: Tensor = self.prelu(torch.cat([self.batchnorm(self.conv(image)), self.maxpool(image)], dim=1))
        return activated


class _Narrow(nn.Module):
    """What bottlenecks add to their input (paper, figure 2b): project to few channels, convolve, project back."""

    def __init__(
        self, inputs: int, narrow: int, outputs: int, convolutions: dict[str, nn.Module], relu: bool, dropout: float
    ) -> None:
        super().__init__()

        def activation() -> nn.Module:
            return nn.ReLU() if relu else nn.PReLU()

        self.conv1 = nn.Conv2d(inputs, narrow, 1, bias=False)
        self.batchnorm1 = nn.BatchNorm2d(narrow)
        self.prelu1 = activation()
        self._convolutions = tuple(convolutions)
        for name, convolution in convolutions.items():
            self.add_module(name, convolution)
        self.batchnorm2 = nn.BatchNorm2d(narrow)
        self.prelu2 = activation()
        self.conv3 = nn.Conv2d(narrow, outputs, 1, bias=False)
        self.batchnorm3 = nn.BatchNorm2d(outputs)
        self.dropout = nn.Dropout2d(dropout)
        self.prelu3 = activation()

    def branch(self, features: Tensor) -> Tensor:
        narrow = self.prelu1(self.batchnorm1(self.conv1(features)))
        for name in self._convolutions:
            narrow = self.get_submodule(name)(narrow)
        narrow = self.prelu2(self.batchnorm2(narrow))
        wide: Tensor = self.dropout(self.batchnorm3(self.conv3(narrow)))
        return wide


class Bottleneck(_Narrow):
    """Bottleneck (paper, section 3): regular, dilated or asymmetric; ``relu`` in the decoder, in place of PReLU."""

    def __init__(
        self,
        channels: int,
        dilation: int = 1,
        asymmetric: bool = False,
        relu: bool = False,
        dropout: float = _DROPOUT,
    ) -> None:
        narrow = channels // 4
        convolutions: dict[str, nn.Module] = {
            "conv2": nn.Conv2d(narrow, narrow, 3, padding=dilation, dilation=dilation)
        }
        if asymmetric:
            convolutions = {
                "conv21": nn.Conv2d(narrow, narrow, (1, 5), padding=(0, 2), bias=False),
                "conv22": nn.Conv2d(narrow, narrow, (5, 1), padding=(2, 0), bias=False),
            }
        super().__init__(channels, narrow, channels, convolutions, relu, dropout)

    def forward(self, features: Tensor) -> Tensor:
        """``[B,channels,H,W]`` to the same."""
        activated: Tensor = self.prelu3(features + self.branch(features))
        return activated


class DownBottleneck(_Narrow):
    """Downsampling bottleneck (paper, section 3): max pooling beside a strided branch.

    It hands on where each maximum was, for the decoder.
    """

    def __init__(self, inputs: int, outputs: int, dropout: float = _DROPOUT) -> None:
        narrow = inputs // 4
        strided = nn.Conv2d(narrow, narrow, 3, stride=2, padding=1)
        super().__init__(inputs, narrow, outputs, {"conv2": strided}, relu=False, dropout=dropout)
        self.maxpool = nn.MaxPool2d(2, return_indices=True, ceil_mode=True)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """``[B,inputs,H,W]`` to ``[B,outputs,⌈H/2⌉,⌈W/2⌉]``, and the maxima's indices ``[B,inputs,⌈H/2⌉,⌈W/2⌉]``."""
        branch = self.branch(features)
        pooled, indices = self.maxpool(features)
        filled = F.pad(pooled, (0, 0, 0, 0, 0, branch.shape[1] - pooled.shape[1]))
        return self.prelu3(filled + branch), indices


class UpBottleneck(nn.Module):
    """Upsampling bottleneck (paper, section 3): values go back to where maxima were, beside a transposed branch."""

    def __init__(self, inputs: int, outputs: int, dropout: float = _DROPOUT) -> None:
        super().__init__()
        narrow = inputs // 4
        self.main_conv = nn.Conv2d(inputs, outputs, 1)
        self.unpool = nn.MaxUnpool2d(2)
        self.convt1 = nn.ConvTranspose2d(inputs, narrow, 1, bias=False)
        self.batchnorm1 = nn.BatchNorm2d(narrow)
        self.convt2 = nn.ConvTranspose2d(narrow, narrow, 3, stride=2, padding=1, bias=False)
        self.batchnorm2 = nn.BatchNorm2d(narrow)
        self.convt3 = nn.ConvTranspose2d(narrow, outputs, 1, bias=False)
        self.batchnorm3 = nn.BatchNorm2d(outputs)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, features: Tensor, indices: Tensor, size: torch.Size) -> Tensor:
        """``[B,inputs,⌈H/2⌉,⌈W/2⌉]`` to ``[B,outputs,H,W]``, by the maxima's indices and the size (H, W)."""
        unpooled = self.unpool(self.main_conv(features), indices, output_size=size)
        branch = F.relu(self.batchnorm1(self.convt1(features)))
        branch = F.relu(self.batchnorm2(self.convt2(branch, output_size=size)))
        return F.relu(unpooled + self.dropout(self.batchnorm3(self.convt3(branch))))


_CONTEXT: tuple[dict[str, Any], ...] = (
    {}, {"dilation": 2}, {"asymmetric": True}, {"dilation": 4},
    {}, {"dilation": 8}, {"asymmetric": True}, {"dilation": 16},
)  # fmt: skip
"""Bottlenecks 2.1 to 2.8, and again 3.1 to 3.8 (paper, table 1)."""


class ENet(nn.Module):
    """ENet (paper, table 1): ``b28`` is the table's bottleneck 2.8. It takes images of any size."""

    def __init__(self, classes: int = 12) -> None:
        super().__init__()
        self.init = _InitialBlock(16)
        self.b10 = DownBottleneck(16, 64, dropout=0.01)
        self._add("b1", [Bottleneck(64, dropout=0.01) for _ in range(4)])
        self.b20 = DownBottleneck(64, 128)
        self._add("b2", [Bottleneck(128, **kind) for kind in _CONTEXT])
        self._add("b3", [Bottleneck(128, **kind) for kind in _CONTEXT])
        self.b40 = UpBottleneck(128, 64)
        self._add("b4", [Bottleneck(64, relu=True) for _ in range(2)])
        self.b50 = UpBottleneck(64, 16)
        self._add("b5", [Bottleneck(16, relu=True)])
        self.fullconv = nn.ConvTranspose2d(16, classes, 3, stride=2, padding=1, bias=False)

    def _add(self, stage: str, bottlenecks: list[Bottleneck]) -> None:
        for number, bottleneck in enumerate(bottlenecks, start=1):
            self.add_module(f"{stage}{number}", bottleneck)

    def _run(self, stage: str, features: Tensor) -> Tensor:
        for name, module in self.named_children():
            if name.startswith(stage) and isinstance(module, Bottleneck):
                features = module(features)
        return features

    def forward(self, image: Tensor) -> Tensor:
        """Segment images ``[B,3,H,W]`` into logits ``[B,classes,H,W]``."""
        half = self.init(image)
        quarter, maxima_of_half = self.b10(half)
        quarter = self._run("b1", quarter)
        eighth, maxima_of_quarter = self.b20(quarter)
        eighth = self._run("b3", self._run("b2", eighth))
        quarter = self._run("b4", self.b40(eighth, maxima_of_quarter, quarter.shape[-2:]))
        half = self._run("b5", self.b50(quarter, maxima_of_half, half.shape[-2:]))
        logits: Tensor = self.fullconv(half, output_size=image.shape[-2:])
        return logits
