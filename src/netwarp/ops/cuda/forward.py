"""Equations 1–3 in one pass: two maps and a flow are read, one map is written."""

from __future__ import annotations

import triton.language as tl

from netwarp.ops.cuda.blocks import by_channel, by_pixel, pixels_of, places, zeros
from netwarp.ops.cuda.cells import cell_at, corners, motion, shares, spline
from netwarp.ops.cuda.launch import kernel


@kernel
def combine(
    current: tl.pointer_type,
    previous: tl.pointer_type,
    flow: tl.pointer_type,
    w1: tl.pointer_type,
    w2: tl.pointer_type,
    gate: tl.pointer_type,
    result: tl.pointer_type,
    batch: int,
    channel_groups: int,
    h: int,
    w: int,
    step: int,
    apart: int,
    tiles_down: int,
    tiles_across: int,
    bicubic: tl.constexpr,
    group: tl.constexpr,
    channels_last: tl.constexpr,
    wide: tl.constexpr,
    real: tl.constexpr,
    tile_h: tl.constexpr,
    tile_w: tl.constexpr,
    tile_c: tl.constexpr,
    together: tl.constexpr,
) -> None:
    """Eq. 1–3, or Eq. 1–2 where there is no ``current``, for one tile of pixels and one block of channels.

    Programs that follow one another take ``together`` blocks of a tile's channels, then the next tile: what one tile
    has fetched of the rows between two is in the second cache still when its neighbour below wants it.
    """
    channels, pixels = channel_groups * group, h * w
    program = tl.program_id(0)
    block = program % together
    program = program // together
    across, program = program % tiles_across, program // tiles_across
    down, program = program % tiles_down, program // tiles_down
    image, block = program % batch, program // batch * together + block

    x, y = pixels_of(down, across, tile_h, tile_w)
    channel = block * tile_c + tl.arange(0, tile_c)
    here, pixel = (x < w) & (y < h), y * w + x
    wanted = by_pixel(here, channels_last) & by_channel(channel < channels, channels_last)
    start = image.to(tl.int64) * pixels * channels

    place = start + places(pixel, channel, pixels, channels, channels_last, wide)
    if current is not None:
        # First, as it need not wait for the flow; and in nobody's way: the corners are what the first cache is for.
        z = tl.load(current + place, mask=wanted, other=0, eviction_policy="evict_first").to(real)
    u, v = motion(flow, image, pixel, here, pixels, step, apart, real)
    column, right = cell_at(x.to(real) + u, w - 1, real)
    row, lower = cell_at(y.to(real) + v, h - 1, real)
    source = previous + start
    if bicubic:
        combined = zeros(tile_h, tile_w, tile_c, channels_last, real)
        for tap in tl.static_range(16):
            at = tl.minimum(tl.maximum(row + (tap // 4 - 1), 0), h - 1) * w
            at += tl.minimum(tl.maximum(column + (tap % 4 - 1), 0), w - 1)
            share = by_pixel(spline(lower, tap // 4) * spline(right, tap % 4), channels_last)
            value = tl.load(source + places(at, channel, pixels, channels, channels_last, wide), mask=wanted, other=0)
            combined += share * value.to(real)
    else:
        ul, ur, ll, lr = corners(column, row, h, w)
        of_ul, of_ur, of_ll, of_lr = shares(right, lower)

        p = tl.load(source + places(ul, channel, pixels, channels, channels_last, wide), mask=wanted, other=0).to(real)
        q = tl.load(source + places(ur, channel, pixels, channels, channels_last, wide), mask=wanted, other=0).to(real)
        r = tl.load(source + places(ll, channel, pixels, channels, channels_last, wide), mask=wanted, other=0).to(real)
        s = tl.load(source + places(lr, channel, pixels, channels, channels_last, wide), mask=wanted, other=0).to(real)
        combined = (
            by_pixel(of_ul, channels_last) * p
            + by_pixel(of_ur, channels_last) * q
            + by_pixel(of_ll, channels_last) * r
            + by_pixel(of_lr, channels_last) * s
        )
    if current is not None:
        if gate is not None:
            trust = tl.load(gate + image.to(tl.int64) * pixels + pixel, mask=here, other=0).to(real)
            trust = by_pixel(trust, channels_last)
            change = combined - z
            # Two forms, so that it is exact at both ends; as torch.lerp.
            combined = tl.where(trust < 0.5, z + trust * change, combined - (1 - trust) * change)
        one = tl.load(w1 + channel, mask=channel < channels, other=0).to(real)
        two = tl.load(w2 + channel, mask=channel < channels, other=0).to(real)
        combined = by_channel(one, channels_last) * z + by_channel(two, channels_last) * combined
    tl.store(result + place, combined, mask=wanted)
