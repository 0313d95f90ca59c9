"""Tensors of one call as kernels take them: one format, known strides, nothing copied that is so already."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from netwarp.ops.cuda.blocks import Blocks
from netwarp.ops.reference import compute_dtype, memory_format

WIDEST_LOAD = 16
"""Bytes that a thread can read or write at once."""


def needs_wide_offsets(channels: int, h: int, w: int) -> bool:
    """Whether 32 bits are too few to count the values of one map; where a map begins always has 64."""
    return channels * h * w > 2**31 - 1


class Maps:
    """What all kernels of one call share.

    Attributes:
        dtype: What is computed in.
        channels_last: Whether maps are ``[B,h,w,C]`` in memory, or ``[B,C,h,w]``.
        flow: The flow.
    """

    def __init__(self, like: Tensor, features: Tensor, flow: Tensor) -> None:
        self.dtype = compute_dtype(features, flow)
        self._like = like
        self._format = memory_format(like)
        self.channels_last = self._format == torch.channels_last
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

    def zero_map(self, dtype: torch.dtype) -> Tensor:
        """``[B,C,h,w]`` of zeros."""
        return torch.zeros_like(self._like, dtype=dtype, memory_format=self._format)

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
        """What is compiled in."""
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
