"""What a program works on: a tile of pixels, a block of channels, and where the two lie in memory.

A tile's pixels are numbered along its rows. A block of values is ``[pixels,channels]`` for channels-last maps and
``[channels,pixels]`` for contiguous ones: what lies side by side in memory comes last, and goes to neighbouring
threads.
"""

from __future__ import annotations

import triton.language as tl

from netwarp.ops.cuda.compiled import device_function


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
