"""Tensors in, kernels over them, tensors out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from netwarp.ops import reference
from netwarp.ops.cuda import backward, blocks, edges, forward, gather
from netwarp.ops.cuda.blocks import Blocks
from netwarp.ops.cuda.launch import launch
from netwarp.ops.reference import Operands, compute_dtype, memory_format

PIXELS_AT_A_TIME = 256

WIDEST_LOAD = 16
"""Bytes that a thread can read or write at once."""


def needs_wide_offsets(channels: int, h: int, w: int) -> bool:
    """Whether 32 bits are too few to count the values of one map; where a map begins always has 64."""
    return channels * h * w > 2**31 - 1


class Maps:
    """What all kernels of one call share."""

    def __init__(self, like: Tensor, features: Tensor, flow: Tensor) -> None:
        self.dtype = compute_dtype(features, flow)  # what is computed in
        self._like = like
        self._format = memory_format(like)
        self.channels_last = self._format == torch.channels_last  # maps are [B,h,w,C] in memory, or [B,C,h,w]
        self.shape = like.shape
        self.batch, self.channels, self.height, self.width = like.shape
        by_pixel = not flow.is_contiguous() and flow.is_contiguous(memory_format=torch.channels_last)
        self.flow = flow if by_pixel else flow.contiguous()
        self._flow_strides = (2, 1) if by_pixel else (1, self.height * self.width)

    def map(self, tensor: Tensor | None) -> Tensor | None:
        """``[B,C,h,w]`` in the result's format."""
        return None if tensor is None else tensor.contiguous(memory_format=self._format)

    def flat(self, tensor: Tensor | None) -> Tensor | None:
        """A gate or weights, without gaps."""
        return None if tensor is None else tensor.contiguous()

    def new_map(self, dtype: torch.dtype) -> Tensor:
        """``[B,C,h,w]`` with anything in it."""
        return torch.empty_like(self._like, dtype=dtype, memory_format=self._format)

    def tiles(self, blocks: Blocks) -> int:
        """Tiles of all images."""
        down, across = blocks.tiles(self.height, self.width)
        return self.batch * down * across

    def programs(self, blocks: Blocks, runs: int) -> int:
        """Programs that do so many runs of tiles, each for all channels; the last ``together`` may have none left."""
        return -(-blocks.blocks(self.channels) // blocks.together) * runs * blocks.together

    def sizes(self, blocks: Blocks) -> tuple[int, ...]:
        """From ``batch`` to ``tiles_across``, the sizes that kernels take in this order."""
        size = (self.batch, self.channels // self._group, self.height, self.width)
        return (*size, *self._flow_strides, *blocks.tiles(self.height, self.width))

    def cell_sizes(self, size: int) -> tuple[int, ...]:
        """From ``h`` to ``blocks``, likewise for what goes through pixels, ``size`` at a time."""
        return (self.height, self.width, *self._flow_strides, -(-self.height * self.width // size))

    def constants(self, blocks: Blocks) -> dict[str, Any]:
        return {
            "group": self._group,
            "channels_last": self.channels_last,
            "wide": needs_wide_offsets(self.channels, self.height, self.width),
            "real": self.dtype,
            "tile_h": blocks.tile_h,
            "tile_w": blocks.tile_w,
            "tile_c": blocks.tile_c,
            "together": blocks.together,
        }

    @property
    def _group(self) -> int:
        """How many channels lie side by side at an address that is a multiple of their size, if that is of use."""
        return min(self.channels & -self.channels, WIDEST_LOAD // self._like.itemsize) if self.channels_last else 1


def combine(operands: Operands, interpolation: str = "bilinear") -> Tensor:
    """See :func:`netwarp.ops.reference.combine`."""
    current, previous, flow, w1, w2, gate = operands
    maps = Maps(previous if current is None else current, previous, flow)
    result = maps.new_map(previous.dtype)
    how = blocks.for_forward(maps.shape, result.dtype, maps.channels_last)
    sources = (maps.map(current), maps.map(previous), maps.flow, maps.flat(w1), maps.flat(w2), maps.flat(gate))
    constants = {"bicubic": interpolation == "bicubic", **maps.constants(how)}
    programs = maps.programs(how, maps.tiles(how))
    launch(forward.combine, programs, how.warps, *sources, result, *maps.sizes(how), **constants)
    return result


def gradients(
    grad: Tensor, operands: Operands, needed: Sequence[bool], interpolation: str = "bilinear"
) -> list[Tensor]:
    """See :func:`netwarp.ops.reference.gradients`.

    The previous representation's has no order of its sum, hence no fixed rounding, unless PyTorch is told to be
    deterministic (``torch.use_deterministic_algorithms``); the others always come out the same, bitwise. Those of
    bicubic interpolation are the reference's.
    """
    if interpolation == "bicubic":
        return reference.gradients(grad, operands, needed, interpolation)
    current, previous, flow, w1, w2, gate = operands
    maps = Maps(previous if current is None else current, previous, flow)
    pulled, w2, gate = maps.map(grad), maps.flat(w2), maps.flat(gate)
    assert pulled is not None
    in_order = torch.are_deterministic_algorithms_enabled()
    # Scattering adds to a map in the dtype that is computed in. Half precision needs another one for that, which is
    # zeroed, added to, read and rounded: nine maps' worth of memory traffic (benchmarks/NOTES.md) in place of two.
    gathers = needed[1] and (in_order or previous.dtype.itemsize < 4)
    asked = [wanted and not (gathers and place == 1) for place, wanted in enumerate(needed)]
    found: list[Tensor | None] = [None] * len(needed)
    if any(asked):
        found = _pull(maps, pulled, (current, previous, flow, w1, w2, gate), asked)
    if gathers:
        found[1] = _gather(maps, pulled, w2, gate, previous.dtype, in_order)
    asked_of = zip(found, operands, strict=True)
    return [tensor.to(source.dtype) for tensor, source in asked_of if tensor is not None and source is not None]


def _pull(maps: Maps, pulled: Tensor, operands: Operands, asked: Sequence[bool]) -> list[Tensor | None]:
    current, previous, _, w1, w2, gate = operands
    how = blocks.for_backward(maps.shape, pulled.dtype, maps.channels_last)
    tiles = maps.tiles(how)
    each = how.tiles_each(maps.channels, tiles)
    runs, parts = -(-tiles // each), how.blocks(maps.channels)
    wants_current, wants_previous, wants_flow, wants_w1, wants_w2, wants_gate = asked
    reads_current = wants_w1 or wants_gate or (wants_w2 and gate is not None)
    reads_previous = wants_flow or wants_w2 or wants_gate
    read = maps.map(current) if reads_current else None, maps.map(previous) if reads_previous else None
    sources = (pulled, *read, maps.flow, maps.flat(w1), w2, gate)
    of_current = maps.new_map(pulled.dtype) if wants_current else None
    of_previous = maps.new_map(maps.dtype).zero_() if wants_previous else None
    batch, h, w = maps.batch, maps.height, maps.width
    # Each program's share in the flow's gradient, in those of w1 and w2, and in the gate's.
    shapes = ((parts, batch, 2, h, w), (runs, maps.channels), (runs, maps.channels), (parts, batch, 1, h, w))
    shares = [
        torch.empty(shape, dtype=maps.dtype, device=pulled.device) if wanted else None
        for shape, wanted in zip(shapes, asked[2:], strict=True)
    ]
    results = (of_current, of_previous, *shares)
    sizes, constants = maps.sizes(how), maps.constants(how)
    launch(backward.pull, maps.programs(how, runs), how.warps, *sources, *results, *sizes, each, **constants)
    return [of_current, of_previous, *map(_total, shares)]


def _total(shares: Tensor | None) -> Tensor | None:
    """The sum along the first dimension; that of all tiles is long, hence in float64."""
    if shares is None:
        return None
    return shares[0] if len(shares) == 1 else shares.sum(0, dtype=torch.float64)


def _gather(
    maps: Maps, pulled: Tensor, w2: Tensor | None, gate: Tensor | None, dtype: torch.dtype, in_order: bool
) -> Tensor:
    count = maps.batch * maps.height * maps.width
    index = torch.int32 if count < 2**31 else torch.int64
    heads = torch.full((count,), -1, dtype=index, device=pulled.device)
    nexts = torch.empty_like(heads)
    sizes = maps.cell_sizes(PIXELS_AT_A_TIME)
    programs = maps.batch * sizes[-1]
    how: dict[str, Any] = {"real": maps.dtype, "size": PIXELS_AT_A_TIME}
    if in_order:
        cells = torch.empty_like(heads)
        launch(gather.number_cells, programs, 4, maps.flow, cells, *sizes, **how)
        # Stable: pixels of a cell keep their own order. Nothing here waits for the GPU.
        cells, order = torch.sort(cells, stable=True)
        whole = -(-count // PIXELS_AT_A_TIME)
        launch(gather.link_in_order, whole, 4, cells, order, heads, nexts, count, size=PIXELS_AT_A_TIME)
    else:
        launch(gather.link_as_they_come, programs, 4, maps.flow, heads, nexts, *sizes, **how)
    result = maps.new_map(dtype)
    division = blocks.for_forward(maps.shape, dtype, maps.channels_last)
    programs = maps.programs(division, maps.tiles(division))
    sources = (pulled, maps.flow, w2, gate, heads, nexts)
    constants = maps.constants(division)
    launch(gather.gather, programs, division.warps, *sources, result, *maps.sizes(division), **constants)
    return result


def guide_labels(
    answer: Tensor, labels: Tensor, frame: Tensor, weights: Tensor, radius: int, logits: bool, keep: bool
) -> tuple[Tensor, Tensor | None]:
    """See :func:`netwarp.ops.reference.guide_labels`."""
    batch, channels, h, w = answer.shape
    probabilities = (answer.softmax(1, dtype=torch.float32) if logits else answer.float()).contiguous()
    moved = torch.empty_like(labels, memory_format=torch.contiguous_format)
    # Where no window near by has two labels, blocks write no means.
    filtered = torch.zeros_like(probabilities) if keep else None
    blocks_each = -(-h * w // PIXELS_AT_A_TIME)
    sources = (probabilities, labels.contiguous(), frame.contiguous(), weights)
    sizes = (channels, h, w, len(weights) - 1, blocks_each)
    launch(edges.guide, batch * blocks_each, 4, *sources, moved, filtered, *sizes, radius=radius, size=PIXELS_AT_A_TIME)
    return moved, filtered
