"""How work is divided: sizes of tiles and blocks, by format, dtype and shape.

A table and not Triton's autotuner, which would compile and time every candidate at every new shape, in the first step
of every process. The reasons, for a Hopper (132 multiprocessors, 50 to 60 MB of second cache); nothing is measured yet:

- *Channels-last*: 256 bytes of a pixel's channels are read by 16 threads, 16 bytes each: whole lines of the cache.
  A tile of 4×8 pixels touches 5×9 pixels of the previous map: of four corners 1.4 are fetched, the others are in the
  first cache. In a row of 32 it would be 2.1.
- *Contiguous*: a warp reads 32 neighbours in a row of one channel, one value a thread: 16 bytes a thread would be four
  lines to a request, as corners are nowhere aligned. A tile of 4×64 pixels fetches 1.4 of four corners in float32, 1.6
  in half precision. Eight channels share its coordinates.
- Both give a thread 8 values of each map (16 in half precision channels-last forward), so that five loads of up to
  32 bytes are in flight; memory's latency at 4 TB/s needs about 30 KiB a multiprocessor.
- Backward has two more maps and two sums in registers: 4 values a thread, lest half of the threads find no room.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton.language as tl

from netwarp.ops.cuda.launch import device_function


@device_function
def pixels_of(
    down: tl.tensor, across: tl.tensor, tile_h: tl.constexpr, tile_w: tl.constexpr
) -> tuple[tl.tensor, tl.tensor]:
    """Columns and rows of the pixels of the tile in a row and column of tiles; they may lie outside the map."""
    k = tl.arange(0, tile_h * tile_w)
    return across * tile_w + k % tile_w, down * tile_h + k // tile_w


@device_function
def zeros(
    tile_h: tl.constexpr, tile_w: tl.constexpr, tile_c: tl.constexpr, channels_last: tl.constexpr, real: tl.constexpr
) -> tl.tensor:
    """A block of zeros."""
    if channels_last:
        return tl.zeros([tile_h * tile_w, tile_c], real)
    else:  # noqa: RET505 - Triton wants both
        return tl.zeros([tile_c, tile_h * tile_w], real)


@device_function
def by_pixel(values: tl.tensor, channels_last: tl.constexpr) -> tl.tensor:
    """One value a pixel, the same for every channel."""
    return tl.expand_dims(values, 1 if channels_last else 0)


@device_function
def by_channel(values: tl.tensor, channels_last: tl.constexpr) -> tl.tensor:
    """One value a channel, the same for every pixel."""
    return tl.expand_dims(values, 0 if channels_last else 1)


@device_function
def over_pixels(values: tl.tensor, channels_last: tl.constexpr) -> tl.tensor:
    """Sum up all pixels of a block: one value a channel."""
    return tl.sum(values, axis=0 if channels_last else 1)


@device_function
def over_channels(values: tl.tensor, channels_last: tl.constexpr) -> tl.tensor:
    """Sum up all channels of a block: one value a pixel."""
    return tl.sum(values, axis=1 if channels_last else 0)


@device_function
def places(
    pixel: tl.tensor,
    channel: tl.tensor,
    pixels: tl.tensor,
    channels: tl.tensor,
    channels_last: tl.constexpr,
    wide: tl.constexpr,
) -> tl.tensor:
    """Offsets in one map ``[C,h,w]``, in either format."""
    if wide:
        pixel = pixel.to(tl.int64)
        channel = channel.to(tl.int64)
    if channels_last:
        return by_pixel(pixel * channels, channels_last) + by_channel(channel, channels_last)
    else:  # noqa: RET505 - Triton wants both
        return by_channel(channel * pixels, channels_last) + by_pixel(pixel, channels_last)


WARPS = 8
ROWS = 4
"""Of pixels in a tile, if not more."""
LINE = 256
"""Bytes of a pixel's channels in a block."""
RUN = 2048
"""Bytes of a pixel's channels after which the next tile comes first."""
FILLED = 8192
"""Warps that a launch should have: 132 multiprocessors hold 64 each."""


@dataclass(frozen=True)
class Blocks:
    """What one program does, and with how many threads."""

    tile_h: int  # rows of pixels; like all sizes here a power of two
    tile_w: int  # columns
    tile_c: int  # channels
    warps: int  # threads, in units of 32
    together: int  # blocks of channels that are done one after the other before the next tile

    def tiles(self, h: int, w: int) -> tuple[int, int]:
        """Tiles in a column and in a row."""
        return _parts(h, self.tile_h), _parts(w, self.tile_w)

    def blocks(self, channels: int) -> int:
        """Blocks of channels."""
        return _parts(channels, self.tile_c)

    def tiles_each(self, channels: int, tiles: int) -> int:
        """Tiles for one program where programs go through several: as many as leave work for a whole GPU.

        From the shape alone, not from the GPU at hand, so that sums are the same on every one.
        """
        return max(1, tiles * self.blocks(channels) * self.warps // FILLED)


def for_forward(shape: torch.Size, dtype: torch.dtype, channels_last: bool) -> Blocks:
    """Blocks of a kernel that reads each map once, and of one that gathers gradients."""
    if channels_last:
        return _rows_of_channels(shape, dtype, values=8192 // dtype.itemsize, most=LINE // dtype.itemsize)
    return _planes(shape, values=2048)


def for_backward(shape: torch.Size, dtype: torch.dtype, channels_last: bool) -> Blocks:
    """Blocks of the kernel that pulls."""
    values = 512 if dtype == torch.float64 else 1024
    if channels_last:
        return _rows_of_channels(shape, dtype, values, most=min(64, LINE // dtype.itemsize))
    return _planes(shape, values)


def _rows_of_channels(shape: torch.Size, dtype: torch.dtype, values: int, most: int) -> Blocks:
    channels, w = shape[1], shape[3]
    tile_c = min(most, _power_of_two(channels))
    tile_w = min(max(1, values // tile_c // ROWS), _power_of_two(w))
    together = min(_parts(channels, tile_c), max(1, RUN // (tile_c * dtype.itemsize)))
    return Blocks(values // tile_c // tile_w, tile_w, tile_c, WARPS, together)


def _planes(shape: torch.Size, values: int) -> Blocks:
    channels, w = shape[1], shape[3]
    tile_c = min(8, _power_of_two(channels))
    widths = [width for width in (64, 32, 16) if width * ROWS <= values // tile_c]
    # The width that leaves fewest threads without a pixel, the largest of those.
    tile_w = min(min(widths, key=lambda width: (_parts(w, width) * width, -width)), _power_of_two(w))
    return Blocks(values // tile_c // tile_w, tile_w, tile_c, WARPS, 1)


def _parts(whole: int, part: int) -> int:
    return -(-whole // part)


def _power_of_two(count: int) -> int:
    """The least that is no less."""
    return 1 << (count - 1).bit_length()
