"""A look into a network: which layers a NetWarp can go to, and what they return."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from netwarp.errors import ConfigurationError, NetWarpError, WeightsError
from netwarp.model.base_metadata import margin_of
from netwarp.model.inputs import Preprocess, base_device, base_dtype
from netwarp.model.outputs import check_layers, logits_of, representation_of

__all__ = ["OUTPUTS", "LayerInfo", "Placement", "Probe", "place", "probe"]

# A frame that is tried when nobody says a size: small ones are fast, but some networks need a large one.
SIZES = ((64, 64), (128, 128), (256, 256), (512, 512), (713, 713))


@dataclass(frozen=True)
class LayerInfo:
    """What one layer returns on one frame.

    Attributes:
        name: As in ``base.named_modules()``.
        kind: The layer's class.
        channels: C of its output ``[1,C,h,w]``.
        size: (h, w) of that output.
        stride: Frame pixels per output pixel, vertically and horizontally.
        calls: How often it ran on the frame; a NetWarp needs exactly 1.
    """

    name: str
    kind: str
    channels: int
    size: tuple[int, int]
    stride: tuple[float, float]
    calls: int


@dataclass(frozen=True)
class Probe:
    """What a network did with one frame.

    Attributes:
        layers: Every layer that returned a feature map, in the order in which they (first) ran.
        classes: Number of channels of the logits.
        output: (h, w) of the logits, before they are brought to frame size.
        frame: (height, width) of the frame that was tried.
    """

    layers: tuple[LayerInfo, ...]
    classes: int
    output: tuple[int, int]
    frame: tuple[int, int]

    @property
    def output_stride(self) -> tuple[float, float]:
        """Frame pixels per pixel of the logits, vertically and horizontally; padding counts as frame."""
        return self.frame[0] / self.output[0], self.frame[1] / self.output[1]


def probe(base: nn.Module, preprocess: Preprocess, size: tuple[int, int] | None = None) -> Probe:
    """Run a network once, in evaluation mode, and look at all its layers. Leaves no trace in it."""
    sizes = (size,) if size is not None else SIZES
    error: Exception | None = None
    for candidate in sizes:
        try:
            return _probe(base, preprocess, candidate)
        except NetWarpError:
            raise
        except Exception as e:  # a foreign network may raise anything
            error = e
    h, w = sizes[-1]
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    raise ConfigurationError(
        f"the base fails on a frame of {w}×{h}: {reason} (give a size that it takes as example_size=(height, width))"
    ) from error


def _probe(base: nn.Module, preprocess: Preprocess, size: tuple[int, int]) -> Probe:
    seen: dict[str, LayerInfo] = {}
    resized, _ = preprocess.grid(size)

    def note(name: str, module: nn.Module, output: Any) -> None:  # noqa: ANN401
        representation = representation_of(output)
        if representation is None:
            return
        calls = seen[name].calls + 1 if name in seen else 1
        channels, h, w = representation.shape[1:]
        # What the map covers, which may be more than the frame.
        padded = tuple(length + 2 * margin_of(base, name) for length in preprocess.grid(size)[1])
        stride = (padded[0] / h * size[0] / resized[0], padded[1] / w * size[1] / resized[1])
        seen[name] = LayerInfo(name, type(module).__name__, channels, (h, w), stride, calls)

    handles = [
        module.register_forward_hook(lambda m, _, output, name=name: note(name, m, output))
        for name, module in base.named_modules()
        if name
    ]
    device, dtype = base_device(base), base_dtype(base)
    devices = [device] if device.type == "cuda" else []  # whose random state may be touched, besides the CPU's
    try:
        with evaluating(base), torch.no_grad(), torch.random.fork_rng(devices):
            frame = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)).to(device)
            logits: Tensor = logits_of(base(preprocess(frame).to(dtype)))
    finally:
        for handle in handles:
            handle.remove()
    if not bool(torch.isfinite(logits).all()):
        raise WeightsError("the base gives NaN or infinite logits on an ordinary frame: its weights are damaged")
    return Probe(tuple(seen.values()), logits.shape[1], (logits.shape[2], logits.shape[3]), size)


@contextmanager
def evaluating(base: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; afterwards each module is in the mode it was in."""
    modes = {module: module.training for module in base.modules()}
    base.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


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
    """Check that every layer can hold a NetWarp, by running the network once; leaves no trace in it."""
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
