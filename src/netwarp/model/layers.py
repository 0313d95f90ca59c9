"""The layers of a network: what each returns on a frame, and which of them can hold a NetWarp."""

from __future__ import annotations

import logging
import math
import re
import sys
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from netwarp.errors import ConfigurationError, NetWarpError, WeightsError, is_out_of_memory
from netwarp.model.answer import is_depth, logits_of, maps_in
from netwarp.model.grid import GridTracer
from netwarp.model.inputs import Preprocess, base_device, network_input
from netwarp.model.outputs import check_layers, margin_of, output_grid, representation_of
from netwarp.model.running import evaluating
from netwarp.model.task import Task, task_of
from netwarp.ops import Grid

log = logging.getLogger("netwarp")

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
    stride: tuple[float, float]  # frame pixels from place to place, down and across
    calls: int  # how often it ran on the frame; a NetWarp needs exactly 1
    grid: Grid | None = None  # where its places look in the network's input; None where that changes with the size
    fault: str = ""  # why no flow can move its map

    @property
    def usable(self) -> bool:
        return self.calls == 1 and not self.fault


@dataclass(frozen=True, eq=False)
class Probe:
    """What a network did with one frame."""

    layers: tuple[LayerInfo, ...]  # that returned a feature map, in the order in which they (first) ran
    output: LayerInfo  # the logits, before they are brought to frame size, under the name "output"
    frame: tuple[int, int]  # (height, width)
    preprocess: Preprocess  # as it was given, or with the divisor that the network turned out to need
    answers: tuple[Tensor, ...]  # the output on two frames
    said: str | None  # the task that its output is named by

    @property
    def classes(self) -> int:
        return self.output.channels

    def task(self, base: nn.Module, name: str | None = None) -> Task:
        return task_of(base, self.answers, name or self.said)


def probe(base: nn.Module, preprocess: Preprocess, size: tuple[int, int] | None = None) -> Probe:
    """Run a network in evaluation mode and describe all its layers. The network is left as it was.

    It runs on a frame of the size (by default the first of :data:`SIZES` that it takes), on another of that size, and
    on one of another size: what differs between them is no map that flow can move, or has no grid of its own. Where it
    takes no frame of odd size, and padding to a multiple helps, that multiple becomes the divisor of its preprocessing.
    """
    sizes = (size,) if size is not None else SIZES
    error: Exception | None = None
    # A compiled network runs as it was written: hooks and the tracer see nothing of compiled code. Where there is none,
    # importing the compiler would take seconds.
    with torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext():
        for candidate in sizes:
            try:
                return _probe(base, preprocess, candidate)
            except NetWarpError:
                raise
            except _NOT_THE_SIZE as e:
                raise ConfigurationError(
                    f"the base fails on a frame: {_reason(e)} (it must take a tensor [B,3,H,W] and nothing else)"
                ) from e
            except Exception as e:  # a foreign network may raise anything
                if is_out_of_memory(e):
                    raise
                error = e
    if channels := re.search(r"to have (\d+) channels, but got 3\b", str(error)):
        raise ConfigurationError(
            f"the base takes {channels[1]} channels, but a frame has 3 (RGB): put a layer before it that makes one of "
            "the other"
        ) from error
    tried = (preprocess.size,) if preprocess.size is not None else sizes
    first, last = (f"{w}×{h}" for h, w in (tried[0], tried[-1]))
    what = f"a frame of {last}" if len(tried) == 1 else f"all frames that it is tried on, of {first} to {last}"
    raise ConfigurationError(
        f"the base fails on {what}: {_reason(error)} (it gets one float tensor [B,3,H,W]; say by {{option}} which size "
        "it takes)",
        option="example_size",
    ) from error


_NOT_THE_SIZE = (AttributeError, TypeError, NameError, KeyError, ImportError)
"""Errors of a network that no other frame would mend."""

DIVISORS = (*((n, 0) for n in (2, 4, 8, 10, 12, 14, 16, 20, 24, 28, 32, 48, 64, 96, 128)), (8, 1), (16, 1), (32, 1))
"""Multiples that are tried, and how much more than that a side has."""


def _probe(base: nn.Module, preprocess: Preprocess, size: tuple[int, int]) -> Probe:
    free = preprocess.size is None and preprocess.divisor == 1
    try:
        first = _run(base, preprocess, size)
    except (RuntimeError, ValueError, AssertionError):
        if not free:
            raise
        preprocess = _padded(base, preprocess, size)
        if preprocess.divisor == 1:
            raise
        first = _run(base, preprocess, size)
    larger = _larger(base, preprocess, size)
    if larger is None and preprocess.divisor == 1 and free:
        preprocess = _padded(base, preprocess, size)
        if preprocess.divisor > 1:
            first, larger = _run(base, preprocess, size), _larger(base, preprocess, size)
    if larger is None and preprocess.size is None:
        with suppress(Exception):  # a foreign network may raise anything
            larger = _run(base, preprocess, (2 * size[0], 2 * size[1]))
    again = _run(base, preprocess, size, dark=True)
    shrunk = [f / r for f, r in zip(size, preprocess.grid(size)[0], strict=True)]
    *inner, output = (_describe(name, first, again, larger, shrunk) for name in first.maps)  # the logits come last
    # Each place of the result is learned from the label in the middle of its cell, wherever the place looks.
    output = replace(output, grid=output_grid(base) or (output.grid and Grid.of_cells(output.grid.stride)))
    _check_shape(first, larger)
    if first.several > 1:
        log.warning("the base returns %d maps: the first is its result, the others are left out", first.several)
    return Probe(tuple(inner), output, size, preprocess, (first.answer, again.answer), first.said)


def _padded(base: nn.Module, preprocess: Preprocess, size: tuple[int, int]) -> Preprocess:
    """Pad to the smallest multiple with which a network takes sides that have no larger divisor in common."""
    for divisor, remainder in DIVISORS:
        down, across = (max(1, -(-length // divisor)) for length in size)
        while math.gcd(down, across) > 1 or down == across:
            across += 1
        padded = replace(preprocess, divisor=divisor, remainder=remainder)
        with suppress(Exception):  # a foreign network may raise anything
            _run(base, padded, (divisor * down + remainder, divisor * across + remainder))
            return padded
    return preprocess


def _check_shape(first: _Run, larger: _Run | None) -> None:
    """Refuse a result whose places do not lie over the frame as its pixels do: channels last, flat, transposed."""
    seen = first if larger is None else larger
    (channels, h, w), (height, width) = seen.answer.shape[1:], seen.input

    def covers(down: int, across: int) -> bool:
        return abs(down * width - across * height) <= height + width

    if seen.answer.shape == first.answer.shape:  # of one size: that of the only image, or one whatever the image's
        fits = covers(h, w) or not covers(channels, h)
    else:
        fits = covers(h, w) and channels == first.answer.shape[1]
    if not fits:
        raise ConfigurationError(
            f"the base returns {seen.shape} for an image of {width}×{height} and {first.shape} for one of "
            f"{first.input[1]}×{first.input[0]}: logits must be [B,classes,h,w] that cover the image (permute or "
            "reshape them in its forward)"
        )


def _reason(error: Exception | None) -> str:
    """The line of an error that says most: of TorchScript's the last one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[-1 if "TorchScript" in lines[0] else 0][:120]


@dataclass(frozen=True)
class _Seen:
    """A layer's map in one pass."""

    kind: str
    shape: tuple[int, int, int]  # (channels, h, w)
    calls: int
    margin: int  # how far it reaches beyond the network's input
    grid: Grid | None
    resized: bool  # whether it was interpolated


@dataclass(frozen=True)
class _Run:
    """A pass of a network over one frame."""

    maps: dict[str, _Seen]
    input: tuple[int, int]  # (height, width) of the network's input, padding included
    answer: Tensor
    several: int  # maps that it returned
    said: str | None  # the task that its output is named by

    @property
    def shape(self) -> list[int]:
        """Of the answer, as the network gave it."""
        return [n for i, n in enumerate(self.answer.shape) if i != 1 or n > 1]


def _run(base: nn.Module, preprocess: Preprocess, size: tuple[int, int], *, dark: bool = False) -> _Run:
    maps: dict[str, _Seen] = {}
    tracer = GridTracer()

    def note(name: str, module: nn.Module, output: Any) -> None:  # noqa: ANN401
        representation = representation_of(output)
        if representation is not None:
            calls = maps[name].calls + 1 if name in maps else 1
            grid, resized = tracer.grid_of(representation) or (None, False)
            channels, h, w = representation.shape[1:]
            kind = type(module).__name__
            maps[name] = _Seen(kind, (channels, h, w), calls, margin_of(base, name), grid, resized)

    handles = [
        module.register_forward_hook(lambda m, _, output, name=name: note(name, m, output))
        for name, module in base.named_modules()
        if name and not isinstance(module, torch.jit.ScriptModule)  # which runs no hooks of Python's
    ]
    device = base_device(base)
    devices = [device] if device.type == "cuda" else []  # whose random state may be touched, besides the CPU's
    try:
        with evaluating(base), torch.no_grad(), torch.random.fork_rng(devices):
            frame = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)).to(device)
            image = network_input(base, preprocess, frame / 4 if dark else frame)
            tracer.begin_at(image)
            with tracer:
                output = base(image)
                logits = logits_of(output)
    finally:
        for handle in handles:
            handle.remove()
    if not bool(torch.isfinite(logits).all()):
        raise WeightsError(
            "the base gives NaN or infinite logits on an ordinary frame: its weights are damaged, or it rules classes "
            "out by -inf, which a large negative number such as -1e4 does too"
        )
    if len(logits) != 1:
        raise ConfigurationError(
            f"the base returns {list(logits.shape)} for one image: logits must be [1,classes,h,w] of it"
        )
    note("", base, logits)
    said = "regression" if is_depth(output) else None
    return _Run(maps, (image.shape[-2], image.shape[-1]), logits, maps_in(output), said)


def _larger(base: nn.Module, preprocess: Preprocess, size: tuple[int, int]) -> _Run | None:
    """A pass over a frame that is larger by no round number; None for a network that takes none."""
    if preprocess.size is None:
        with suppress(Exception):  # a foreign network may raise anything
            return _run(base, preprocess, (size[0] + 37, size[1] + 53))
    return None


def _describe(name: str, first: _Run, again: _Run, larger: _Run | None, shrunk: Sequence[float]) -> LayerInfo:
    """Describe a layer by its maps in three passes, of which the last may be missing."""
    seen, other = first.maps[name], None if larger is None else larger.maps.get(name)
    grid, fault, size = seen.grid, "", seen.shape[1:]
    extent = [length + 2 * seen.margin for length in first.input]
    if name not in again.maps or again.maps[name].shape != seen.shape:
        fault = "its size changes with what is in the frame"
    elif size == (1, 1) and min(extent) > 1 and (other is None or other.shape[1:] == size):
        fault = "it holds one value for the whole frame"
    elif larger is not None and other is not None:
        grown = [n + 2 * seen.margin for n in larger.input]
        follows = all(_follows(*each) for each in zip(size, other.shape[1:], extent, grown, strict=True))
        if not follows or other.shape[0] != seen.shape[0]:
            fault = "its size does not follow the frame's"
        if grid != other.grid:
            grid = None
    elif seen.resized:
        grid = None
    down, across = (e / n for e, n in zip(extent, size, strict=True)) if grid is None else grid.stride
    stride = (down * shrunk[0], across * shrunk[1])
    return LayerInfo(name or OUTPUTS[0], seen.kind, seen.shape[0], size, stride, seen.calls, grid, fault)


def _follows(places: int, more: int, length: int, longer: int) -> bool:
    """Whether a map grows about as the frame does."""
    expected = places * longer / length
    grows = more > places or longer - length < length / places
    return grows and abs(more - expected) <= 2 + expected / 10


def place(
    base: nn.Module, layers: Sequence[str], preprocess: Preprocess, example_size: tuple[int, int] | None = None
) -> tuple[list[LayerInfo], Probe]:
    """Check that layers can hold a NetWarp, by running the network: them in running order, and all that was seen."""
    if isinstance(layers, str) or not isinstance(layers, Sequence) or not all(isinstance(n, str) for n in layers):
        raise ConfigurationError(f"layers must be a list of names, not {layers!r}")
    if example_size is not None and not _is_size(example_size):
        raise ConfigurationError(f"example_size must be a frame's (height, width) in pixels, not {example_size!r}")
    inner = [name for name in layers if name not in OUTPUTS]
    outputs = [name for name in layers if name in OUTPUTS]
    check_layers(base, inner)
    if inner and (form := _without_hooks(base)):
        raise ConfigurationError(
            f"layer {inner[0]!r} is in a {form} network, which runs no hooks: give the network as it was before, or "
            "take 'output' or 'log_probs'"
        )
    if len(outputs) > 1:
        raise ConfigurationError("'output' and 'log_probs' are the same place: name one of them, once")
    seen = probe(base, preprocess, example_size)
    found = {info.name: info for info in seen.layers}
    for name in inner:
        if name not in found:
            raise ConfigurationError(
                f"layer {name!r} returns no feature map [B,C,h,w] or does not run: choose another layer "
                "('netwarp layers' lists those that work)"
            )
        if not found[name].usable:
            reason = found[name].fault or f"it runs {found[name].calls} times a frame"
            raise ConfigurationError(
                f"layer {name!r} cannot hold a NetWarp, as {reason}: choose another layer "
                "('netwarp layers' lists those that work)"
            )
    places = [info for info in seen.layers if info.name in inner]
    places += [replace(seen.output, name=name, kind="") for name in outputs]
    return places, seen


def _without_hooks(base: nn.Module) -> str | None:
    """How a network was changed so that hooks on its layers do not run; None where it was not."""
    if any(isinstance(module, torch.jit.ScriptModule) for module in base.modules()):
        return "scripted"
    compiled = (torch._dynamo.eval_frame.OptimizedModule,) if "torch._dynamo" in sys.modules else ()
    if any(isinstance(m, compiled) or m._compiled_call_impl is not None for m in base.modules()):
        return "compiled"
    return None


def _is_size(value: object) -> bool:
    return isinstance(value, (tuple, list)) and len(value) == 2 and all(isinstance(n, int) and n > 0 for n in value)
