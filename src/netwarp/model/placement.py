"""Where NetWarps go: layer names checked against what a network does, before anything is changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from netwarp.errors import ConfigurationError
from netwarp.model.preprocess import Preprocess
from netwarp.model.probe import probe
from netwarp.model.taps import check_layers

__all__ = ["OUTPUTS", "Placement", "place"]

OUTPUTS = ("output", "log_probs")
"""Layer names that stand for the network's result instead of one of its modules."""


@dataclass(frozen=True)
class Placement:
    """Layers that can hold a NetWarp.

    Attributes:
        layers: Their names in the order in which they run.
        channels: Number of channels of each.
        strides: Frame pixels per pixel of each, the smaller of down and across, rounded.
        classes: Number of classes of the network.
    """

    layers: tuple[str, ...]
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    classes: int


def place(
    base: nn.Module, layers: Sequence[str], preprocess: Preprocess, example_size: tuple[int, int] | None = None
) -> Placement:
    """Check that every layer can hold a NetWarp, by running the network once; leaves no trace in it.

    Args:
        base: The network.
        layers: Names out of ``base.named_modules()``, and at most one of :data:`OUTPUTS`.
        preprocess: What the network wants done to a frame.
        example_size: (height, width) of a frame that the network takes, or None to try some.

    Returns:
        The layers in the order in which they run.

    Raises:
        ConfigurationError: a layer is unknown, comes twice, returns no feature map or runs more than once a frame.
    """
    if isinstance(layers, str) or not isinstance(layers, Sequence) or not all(isinstance(n, str) for n in layers):
        raise ConfigurationError(f"layers must be a list of names, not {layers!r}")
    if not isinstance(preprocess, Preprocess):
        raise ConfigurationError(f"preprocess must be a netwarp.Preprocess, not {preprocess!r}")
    if example_size is not None and not _is_size(example_size):
        raise ConfigurationError(f"example_size must be a frame's (height, width) in pixels, not {example_size!r}")
    inner = [name for name in layers if name not in OUTPUTS]
    outputs = [name for name in layers if name in OUTPUTS]
    check_layers(base, inner)
    if len(outputs) > 1:
        raise ConfigurationError("'output' and 'log_probs' are the same place: name one of them, once")
    seen = probe(base, preprocess, example_size)
    usable = {info.name: info for info in seen.layers}
    for name in inner:
        if name not in usable:
            raise ConfigurationError(
                f"layer {name!r} returns no feature map [B,C,h,w] or does not run: choose another layer "
                "('netwarp layers' lists those that work)"
            )
        if usable[name].calls > 1:
            raise ConfigurationError(
                f"layer {name!r} runs {usable[name].calls} times a frame: choose a layer that runs once "
                "('netwarp layers' lists them)"
            )
    running = [info for info in seen.layers if info.name in inner]
    return Placement(
        layers=(*(info.name for info in running), *outputs),
        channels=(*(info.channels for info in running), *(seen.classes for _ in outputs)),
        strides=(*(_rounded(info.stride) for info in running), *(_rounded(seen.output_stride) for _ in outputs)),
        classes=seen.classes,
    )


def _rounded(stride: tuple[float, float]) -> int:
    return max(1, round(min(stride)))


def _is_size(value: object) -> bool:
    return isinstance(value, (tuple, list)) and len(value) == 2 and all(isinstance(n, int) and n > 0 for n in value)
