"""Dilated VGG-16: Yu and Koltun's front-end and context module, and PlayData-CNN, which is the front-end alone.

Yu and Koltun, "Multi-Scale Context Aggregation by Dilated Convolutions", ICLR 2016 (arXiv 1511.07122); Richter,
Vineet, Roth, Koltun, "Playing for Data: Ground Truth from Computer Games", ECCV 2016 (arXiv 1608.02192). Written from
the papers and the layers' sizes; the modules have the names of the public Caffe models, as in the NetWarp paper's
Table 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netwarp.bases.spec import channels_at
from netwarp.errors import ConfigurationError
from netwarp.label_sets import CAMVID, LabelSet
from netwarp.model.inputs import Preprocess
from netwarp.ops import Grid, reflect

MARGIN = 186
"""Pixels of reflection padding on each side, for the front-end's unpadded convolutions."""

_DILATION_ORDER = (
    "building", "tree", "sky", "car", "sign", "road", "pedestrian", "fence", "pole", "pavement", "bicyclist",
)  # fmt: skip

DILATION_CAMVID = LabelSet(_DILATION_ORDER, tuple(CAMVID.palette[CAMVID.names.index(name)] for name in _DILATION_ORDER))
"""CamVid's 11 classes in the order in which the public CamVid weights of Yu and Koltun have them."""

VGG_CAMVID_PREPROCESS = Preprocess(
    mean=(110.70, 108.77, 105.41), std=(1.0, 1.0, 1.0), scale=255.0, order="bgr", divisor=8
)
"""The preprocessing of the public CamVid weights: BGR in 0–255, less CamVid's mean. One logit is 8×8 pixels.

Used for PlayData-CNN too, whose own mean is not published.
"""

VGG_CITYSCAPES_PREPROCESS = Preprocess(
    mean=(72.39, 82.91, 73.16), std=(1.0, 1.0, 1.0), scale=255.0, order="bgr", divisor=8
)
"""The same for the public Cityscapes weights."""

EVERY_EIGHTH = Grid((8.0, 8.0))
"""Place i of an answer is trained as the label of pixel 8i, and read so (Yu and Koltun's release)."""

# About the deviation of pixels in 0–255. Weights that expect inputs of deviation 1 are divided by it in the first
# layer; all that follows then starts at the scale that its own weights expect.
_PIXEL_DEVIATION = 64.0


@dataclass(frozen=True)
class FrontEndLayer:
    """A convolution of the front-end, without padding and followed by a ReLU."""

    name: str  # in Caffe, and of its module
    channels: int  # outputs at full width
    kernel: int = 3
    dilation: int = 1
    pooled: bool = False  # whether a 2×2 max pooling follows

    @property
    def reach(self) -> int:
        """Places of its input that its output lacks on each side."""
        return self.dilation * (self.kernel - 1) // 2


FRONT_END = (
    FrontEndLayer("conv1_1", 64),
    FrontEndLayer("conv1_2", 64, pooled=True),
    FrontEndLayer("conv2_1", 128),
    FrontEndLayer("conv2_2", 128, pooled=True),
    FrontEndLayer("conv3_1", 256),
    FrontEndLayer("conv3_2", 256),
    FrontEndLayer("conv3_3", 256, pooled=True),
    FrontEndLayer("conv4_1", 512),
    FrontEndLayer("conv4_2", 512),
    FrontEndLayer("conv4_3", 512),
    FrontEndLayer("conv5_1", 512, dilation=2),
    FrontEndLayer("conv5_2", 512, dilation=2),
    FrontEndLayer("conv5_3", 512, dilation=2),
    FrontEndLayer("fc6", 4096, kernel=7, dilation=4),
    FrontEndLayer("fc7", 4096, kernel=1),
)
"""VGG-16 without its last two poolings, dilated instead (Yu and Koltun, section 4)."""


class ConvReLU(nn.Conv2d):
    """A convolution and its ReLU in one module, as with Caffe's in-place ReLU: its output is the activation.

    Starts with He et al.'s weights (2015), and biases of 0.
    """

    def forward(self, input: Tensor) -> Tensor:
        """``[B,inputs,H,W]`` to ``[B,outputs,H',W']``, nowhere negative."""
        return F.relu(super().forward(input), inplace=True)

    def reset_parameters(self) -> None:
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]


class _FrontEnd(nn.Module):
    """The dilated VGG-16 (:data:`FRONT_END`) up to ``fc7``; ``margins``: pixels by which maps exceed the image."""

    def __init__(self, width: float, dropout: float) -> None:
        super().__init__()
        self.margins: dict[str, int] = {}
        inputs, margin, stride = 3, MARGIN, 1
        for layer in FRONT_END:
            outputs = channels_at(width, layer.channels)
            self.add_module(layer.name, ConvReLU(inputs, outputs, layer.kernel, dilation=layer.dilation))
            margin -= layer.reach * stride
            if margin:
                self.margins[layer.name] = margin
            inputs, stride = outputs, stride * (2 if layer.pooled else 1)
        # With few frames to train on, 0 may be better.
        self.drop6 = nn.Dropout(dropout)
        self.drop7 = nn.Dropout(dropout)
        first: Tensor = self.get_submodule(FRONT_END[0].name).weight  # type: ignore[assignment]
        first.data *= 1 / _PIXEL_DEVIATION

    def front_end(self, image: Tensor) -> Tensor:
        """Images ``[B,3,H,W]`` to ``fc7``'s activations ``[B,C,⌈H/8⌉,⌈W/8⌉]``, after dropout."""
        features = reflect(image, MARGIN)
        for layer in FRONT_END:
            features = self.get_submodule(layer.name)(features)
            if layer.pooled:
                features = F.max_pool2d(features, 2, ceil_mode=True)
            elif layer.name == "fc6":
                features = self.drop6(features)
        dropped: Tensor = self.drop7(features)
        return dropped


def start_from_vgg16(network: nn.Module, preprocess: Preprocess, vgg16: Mapping[str, Tensor]) -> None:
    """Take over the front-end from torchvision's classifier of ImageNet; what follows ``fc7`` stays as it is.

    Its layers are the front-end's one by one, with as many weights. What its input is to ours goes into the first.
    """
    names = [name.removesuffix(".weight") for name in vgg16 if name.endswith(".weight")]
    state: dict[str, Tensor] = {}
    for layer, name in zip(FRONT_END, names, strict=False):
        weight = vgg16[f"{name}.weight"]
        state[f"{layer.name}.weight"] = weight.reshape(len(weight), -1, layer.kernel, layer.kernel)
        state[f"{layer.name}.bias"] = vgg16[f"{name}.bias"]
    first = FRONT_END[0].name
    own = _for_input(state[f"{first}.weight"], state[f"{first}.bias"], preprocess)
    state[f"{first}.weight"], state[f"{first}.bias"] = own
    network.load_state_dict(state, strict=False)


def _for_input(weight: Tensor, bias: Tensor, ours: Preprocess) -> tuple[Tensor, Tensor]:
    """A first convolution on ImageNet's usual input (RGB in 0–1) as one on ours."""
    usual = Preprocess()
    mean, std = torch.tensor(usual.mean), torch.tensor(usual.std)
    if ours.order == "bgr":
        weight, mean, std = weight.flip(1), mean.flip(0), std.flip(0)
    slope = torch.tensor(ours.std) / ours.scale / std  # the usual input is slope · ours + shift
    shift = (torch.tensor(ours.mean) / ours.scale - mean) / std
    return weight * slope.view(1, 3, 1, 1), bias + (weight * shift.view(1, 3, 1, 1)).sum((1, 2, 3))


def _classifier(inputs: int, classes: int) -> nn.Conv2d:
    """A 1×1 convolution whose logits start with about the deviation of its input."""
    classifier = nn.Conv2d(inputs, classes, 1)
    nn.init.kaiming_normal_(classifier.weight, nonlinearity="linear")
    nn.init.zeros_(classifier.bias)  # type: ignore[arg-type]
    return classifier


class PlayData(_FrontEnd):
    """PlayData-CNN (Richter et al., section 5): the front-end and a classifier.

    The NetWarp paper's first base network (section 4.1), with 134.3 M parameters for CamVid's 11 classes.
    """

    output_grid = EVERY_EIGHTH

    def __init__(self, classes: int = 11, width: float = 1.0, dropout: float = 0.5) -> None:
        super().__init__(width, dropout)
        self.fc8 = _classifier(channels_at(width, FRONT_END[-1].channels), classes)

    def forward(self, image: Tensor) -> Tensor:
        """Segment images ``[B,3,H,W]`` into logits ``[B,classes,⌈H/8⌉,⌈W/8⌉]``."""
        logits: Tensor = self.fc8(self.front_end(image))
        return logits


class Dilation(_FrontEnd):
    """Front-end and context module (Yu and Koltun, section 3): "Dilation8" for CamVid, "Dilation10" for Cityscapes.

    The context module is a chain (``context``) of convolutions of growing dilation, with a channel for each class. It
    starts at the identity (section 3) but for negative values.
    """

    def __init__(self, classes: int = 11, width: float = 1.0, dropout: float = 0.5, levels: int = 8) -> None:
        if levels < 5:
            raise ConfigurationError(f"the context module has at least 5 levels, not {levels}")
        super().__init__(width, dropout)
        self.final = _classifier(channels_at(width, FRONT_END[-1].channels), classes)
        dilations = {
            "ctx_conv1_1": 1,
            "ctx_conv1_2": 1,
            **{f"ctx_conv{i}_1": 2 ** (i - 1) for i in range(2, levels - 2)},
            "ctx_fc1": 1,
        }
        self.context = (*dilations, "ctx_final")
        # Dilation10's own deconvolution enlarges its answer as one of cells.
        self.output_grid = EVERY_EIGHTH if levels < 10 else None
        for name, dilation in dilations.items():
            self.add_module(name, ConvReLU(classes, classes, 3, padding=dilation, dilation=dilation))
        self.ctx_final = nn.Conv2d(classes, classes, 1)
        for name in self.context:
            layer = self.get_submodule(name)
            assert isinstance(layer, nn.Conv2d)
            nn.init.dirac_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        """Segment images ``[B,3,H,W]`` into logits ``[B,classes,⌈H/8⌉,⌈W/8⌉]``."""
        features = self.final(self.front_end(image))
        for name in self.context:
            features = self.get_submodule(name)(features)
        logits: Tensor = features
        return logits
