"""The layers of a network: what each returns on a frame, and which of them can hold a NetWarp."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from netwarp.errors import ConfigurationError, NetWarpError, WeightsError
from netwarp.model.inputs import Preprocess, base_device, network_input
from netwarp.model.outputs import check_layers, logits_of, representation_of

OUTPUTS = ("output", "log_probs")
"""Layer names that stand for the network's result instead of one of its modules."""

SIZES = ((64, 64), (128, 128), (256, 256), (512, 512), (713, 713))
"""Frames that are tried where no size is given: small ones are fast, but some networks need a large one."""


@dataclass(frozen=True)
class LayerInfo:
    """What one layer returns on one frame."""

    name: str  # as in base.named_modules()
    kind: str  # its class
    channels: int
    size: tuple[int, int]  # (h, w) of its output [1,C,h,w]
    stride: tuple[float, float]  # frame pixels per output pixel, down and across
    calls: int  # how often it ran on the frame; a NetWarp needs exactly 1


@dataclass(frozen=True)
class Probe:
    """What a network did with one frame."""

    layers: tuple[LayerInfo, ...]  # that returned a feature map, in the order in which they (first) ran
    classes: int
    output: tuple[int, int]  # (h, w) of the logits, before they are brought to frame size
    frame: tuple[int, int]  # (height, width)

    @property
    def output_stride(self) -> tuple[float, float]:
        """Frame pixels per pixel of the logits, down and across; padding counts as frame."""
        return self.frame[0] / self.output[0], self.frame[1] / self.output[1]


def probe(base: nn.Module, preprocess: Preprocess, size: tuple[int, int] | None = None) -> Probe:
    """Run a network once, in evaluation mode, and describe all its layers. The network is left as it was."""
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
        f"the base fails on a frame of {w}×{h}: {reason} (say by {{option}} which size it takes)",
        option="example_size",
    ) from error


def _probe(base: nn.Module, preprocess: Preprocess, size: tuple[int, int]) -> Probe:
    seen: dict[str, LayerInfo] = {}
    resized, padded = preprocess.grid(size)

    def note(name: str, module: nn.Module, output: Any) -> None:  # noqa: ANN401
        representation = representation_of(output)
        if representation is None:
            return
        calls = seen[name].calls + 1 if name in seen else 1
        channels, h, w = representation.shape[1:]
        # What the map covers, which may be more than the frame.
        height, width = (length + 2 * margin_of(base, name) for length in padded)
        stride = (height / h * size[0] / resized[0], width / w * size[1] / resized[1])
        seen[name] = LayerInfo(name, type(module).__name__, channels, (h, w), stride, calls)

    handles = [
        module.register_forward_hook(lambda m, _, output, name=name: note(name, m, output))
        for name, module in base.named_modules()
        if name
    ]
    device = base_device(base)
    devices = [device] if device.type == "cuda" else []  # whose random state may be touched, besides the CPU's
    try:
        with evaluating(base), torch.no_grad(), torch.random.fork_rng(devices):
            frame = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)).to(device)
            logits: Tensor = logits_of(base(network_input(base, preprocess, frame)))
    finally:
        for handle in handles:
            handle.remove()
    if not bool(torch.isfinite(logits).all()):
        raise WeightsError("the base gives NaN or infinite logits on an ordinary frame: its weights are damaged")
    return Probe(tuple(seen.values()), logits.shape[1], (logits.shape[2], logits.shape[3]), size)


def margin_of(base: nn.Module, layer: str) -> int:
    """How far the map of a layer reaches beyond the network's input, on each side, in pixels of the input.

    Networks that reflect their input outward and then do without padding (Yu and Koltun's) say it in ``margins``, a
    dict by the names of layers, on the network or on a module that the layer is in. Others' maps cover the input alone.
    """
    module: nn.Module | None = base
    inside = layer
    while module is not None and inside:
        margins = getattr(module, "margins", None)
        margin = margins.get(inside, 0) if isinstance(margins, dict) else 0
        if isinstance(margin, int) and margin > 0:
            return margin
        part, _, inside = inside.partition(".")
        module = dict(module.named_children()).get(part)
    return 0


@contextmanager
def evaluating(base: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode inside the block; afterwards each module is in the mode it was in."""
    modes = {module: module.training for module in base.modules()}
    base.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def place(
    base: nn.Module, layers: Sequence[str], preprocess: Preprocess, example_size: tuple[int, int] | None = None
) -> tuple[list[LayerInfo], int]:
    """Check that layers can hold a NetWarp, by running the network once: them in running order, and its classes."""
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
    calls = {info.name: info.calls for info in seen.layers}
    for name in inner:
        if name not in calls:
            raise ConfigurationError(
                f"layer {name!r} returns no feature map [B,C,h,w] or does not run: choose another layer "
                "('netwarp layers' lists those that work)"
            )
        if calls[name] > 1:
            raise ConfigurationError(
                f"layer {name!r} runs {calls[name]} times a frame: choose a layer that runs once "
                "('netwarp layers' lists them)"
            )
    places = [info for info in seen.layers if info.name in inner]
    places += [LayerInfo(name, "", seen.classes, seen.output, seen.output_stride, calls=1) for name in outputs]
    return places, seen.classes


def _is_size(value: object) -> bool:
    return isinstance(value, (tuple, list)) and len(value) == 2 and all(isinstance(n, int) and n > 0 for n in value)
