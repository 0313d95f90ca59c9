"""The published models' layers with random weights, from the facts in their papers and prototxts, by Caffe's names.

The weights are scaled so that a signal comes through, and a mistake in any layer changes what comes out.
"""

from collections.abc import Iterable

import numpy as np
from caffe_reference import Blobs

from convert.wire import Layer

FRONT_END = [
    ("conv1_1", 64), ("conv1_2", 64), ("conv2_1", 128), ("conv2_2", 128), ("conv3_1", 256), ("conv3_2", 256),
    ("conv3_3", 256), ("conv4_1", 512), ("conv4_2", 512), ("conv4_3", 512), ("conv5_1", 512), ("conv5_2", 512),
    ("conv5_3", 512), ("fc6", 4096), ("fc7", 4096),
]  # fmt: skip
CONTEXT = [
    "ctx_conv1_1", "ctx_conv1_2", "ctx_conv2_1", "ctx_conv3_1", "ctx_conv4_1", "ctx_conv5_1", "ctx_conv6_1",
    "ctx_conv7_1", "ctx_fc1",
]  # fmt: skip
PIXELS = 64.0  # about the deviation of what the networks are shown


class Drawn:
    """Random blobs in float32, by layer."""

    def __init__(self, width: float, seed: int = 0) -> None:
        self.blobs: Blobs = {}
        self._width = width
        self._rng = np.random.default_rng(seed)

    def channels(self, full: int) -> int:
        return max(1, round(full * self._width))

    def normal(self, *shape: int, scale: float = 1.0) -> np.ndarray:
        return self._rng.standard_normal(shape, dtype=np.float32) * np.float32(scale)

    def convolution(self, name: str, inputs: int, outputs: int, side: int, *, bias: bool = True, scale: float = 1.0):
        weight = self.normal(outputs, inputs, side, side, scale=scale * (2 / (inputs * side * side)) ** 0.5)
        self.blobs[name] = [weight, *([self.normal(outputs, scale=0.1)] if bias else [])]

    def batch_norm(self, name: str, channels: int, scale: float = 1.0) -> None:
        spread = self._rng.uniform(0.5, 1.5, (2, channels)).astype(np.float32)
        shifts = self.normal(2, channels, scale=0.1)
        self.blobs[name] = [spread[0] * np.float32(scale), shifts[0], shifts[1], spread[1]]


def _front_end(drawn: Drawn, classes: int, classifier: str) -> None:
    inputs = 3
    for name, full in FRONT_END:
        outputs, side = drawn.channels(full), {"fc6": 7, "fc7": 1}.get(name, 3)
        drawn.convolution(name, inputs, outputs, side, scale=1 / PIXELS if inputs == 3 else 1.0)
        inputs = outputs
    drawn.convolution(classifier, inputs, classes, 1)


def playdata(width: float = 1.0, classes: int = 11) -> Blobs:
    drawn = Drawn(width)
    _front_end(drawn, classes, "fc8")
    return drawn.blobs


def _dilation(width: float, classes: int, context: Iterable[str]) -> Blobs:
    drawn = Drawn(width)
    _front_end(drawn, classes, "final")
    for name in context:
        drawn.convolution(name, classes, classes, 3)
    drawn.convolution("ctx_final", classes, classes, 1)
    return drawn.blobs


def dilation8(width: float = 1.0, classes: int = 11) -> Blobs:
    return _dilation(width, classes, [*CONTEXT[:6], CONTEXT[8]])


def dilation10(width: float = 1.0, classes: int = 19) -> Blobs:
    return _dilation(width, classes, CONTEXT)


def _pspnet(drawn: Drawn, classes: int) -> None:
    def layer(name: str, inputs: int, full: int, side: int, **scales: float) -> int:
        outputs = drawn.channels(full)
        drawn.convolution(name, inputs, outputs, side, bias=False, scale=scales.get("weights", 1.0))
        drawn.batch_norm(f"{name}/bn", outputs, scales.get("norm", 1.0))
        return outputs

    x = layer("conv1_1_3x3_s2", 3, 64, 3, weights=1 / PIXELS)
    x = layer("conv1_2_3x3", x, 64, 3)
    x = layer("conv1_3_3x3", x, 128, 3)
    for stage, narrow, count in ((2, 64, 3), (3, 128, 4), (4, 256, 23), (5, 512, 3)):
        for block in range(1, count + 1):
            name = f"conv{stage}_{block}"
            inner = layer(f"{name}_1x1_reduce", x, narrow, 1)
            inner = layer(f"{name}_3x3", inner, narrow, 3)
            # Sums of 33 blocks would grow without end.
            outputs = layer(f"{name}_1x1_increase", inner, 4 * narrow, 1, norm=0.2)
            if block == 1:
                layer(f"{name}_1x1_proj", x, 4 * narrow, 1)
            x = outputs
    levels = [layer(f"conv5_3_pool{bins}_conv", x, 512, 1) for bins in (1, 2, 3, 6)]
    x = layer("conv5_4", x + sum(levels), 512, 3)
    drawn.convolution("conv6", x, classes, 1)


def pspnet101(width: float = 1.0, classes: int = 19) -> Blobs:
    drawn = Drawn(width)
    _pspnet(drawn, classes)
    return drawn.blobs


def pspnet101_netwarp(width: float = 1.0, classes: int = 19) -> Blobs:
    drawn = Drawn(width)
    _pspnet(drawn, classes)
    drawn.convolution("conv1_flo_1", 8, 16, 3, scale=1 / PIXELS)
    drawn.convolution("conv2_flo_1", 16, 32, 3)
    drawn.convolution("conv3_flo_1", 32, 2, 3)
    drawn.convolution("flo_transformed_1", 4, 2, 1)
    for name in ("conv5_4_0_w", "conv5_4_1_w"):
        channels = drawn.channels(512)
        drawn.blobs[name] = [0.5 + drawn.normal(channels, 1, 1, 1, scale=0.2), drawn.normal(channels, scale=0.1)]
    return drawn.blobs


PUBLISHED = {
    "playdata": playdata,
    "dilation8": dilation8,
    "dilation10": dilation10,
    "pspnet101": pspnet101,
    "pspnet101-netwarp": pspnet101_netwarp,
}


def layers(blobs: Blobs) -> list[Layer]:
    """What a file holds: the layers, and between them those without weights."""
    found = [Layer("data", type="Data"), Layer("data", type="Data")]  # of training, of testing
    for name, arrays in blobs.items():
        found += [
            Layer(name, arrays, "BN" if name.endswith("/bn") else "Convolution"),
            Layer(f"{name}/relu", (), "ReLU"),
        ]
    return found
