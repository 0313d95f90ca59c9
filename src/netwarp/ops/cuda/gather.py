"""The previous representation's gradient: each of its pixels gathers what was pulled from it.

A pixel of the previous frame is the upper left corner of one cell, the upper right of another, and so on: it goes
through the lists of pixels that come from these four (:mod:`netwarp.ops.cuda.links`). Nothing is added to by two
programs, no sum is kept in memory, and where lists have an order, so has the sum.
"""

from __future__ import annotations

import triton.language as tl

from netwarp.ops.cuda.blocks import by_channel, by_pixel, pixels_of, places, zeros
from netwarp.ops.cuda.cells import cell_at, motion
from netwarp.ops.cuda.launch import kernel


@kernel
def gather(
    grad: tl.pointer_type,
    flow: tl.pointer_type,
    w2: tl.pointer_type,
    gate: tl.pointer_type,
    heads: tl.pointer_type,
    nexts: tl.pointer_type,
    of_previous: tl.pointer_type,
    batch: int,
    channel_groups: int,
    h: int,
    w: int,
    step: int,
    apart: int,
    tiles_down: int,
    tiles_across: int,
    group: tl.constexpr,
    channels_last: tl.constexpr,
    wide: tl.constexpr,
    real: tl.constexpr,
    tile_h: tl.constexpr,
    tile_w: tl.constexpr,
    tile_c: tl.constexpr,
    together: tl.constexpr,
) -> None:
    """The gradient for one tile of the previous representation's pixels and one block of channels.

    It takes as long as the longest list: where all flow leaves the map for one corner, that is all pixels in turn.
    """
    channels, pixels = channel_groups * group, h * w
    program = tl.program_id(0)
    block = program % together
    program = program // together
    across, program = program % tiles_across, program // tiles_across
    down, program = program % tiles_down, program // tiles_down
    image, block = (program % batch).to(tl.int64), program // batch * together + block

    x, y = pixels_of(down, across, tile_h, tile_w)
    channel = block * tile_c + tl.arange(0, tile_c)
    here, there = (x < w) & (y < h), by_channel(channel < channels, channels_last)
    first, start = image * pixels, image * pixels * channels
    total = zeros(tile_h, tile_w, tile_c, channels_last, real)
    for corner in tl.static_range(4):
        # The cell in which this pixel is the upper left, upper right, lower left or lower right corner.
        column, row = x - corner % 2, y - corner // 2
        known = here & (column >= 0) & (row >= 0)
        giver = tl.load(heads + first + row * w + column, mask=known, other=-1)
        while tl.max(giver, axis=0) >= 0:
            giving = giver >= 0
            pixel = (giver - first).to(tl.int32)
            giver = tl.load(nexts + giver, mask=giving, other=-1)
            u, v = motion(flow, image, pixel, giving, pixels, step, apart, real)
            _column, right = cell_at((pixel % w).to(real) + u, w - 1, real)
            _row, lower = cell_at((pixel // w).to(real) + v, h - 1, real)
            share = (right if corner % 2 == 1 else 1 - right) * (lower if corner // 2 == 1 else 1 - lower)
            if gate is not None:
                share *= tl.load(gate + first + pixel, mask=giving, other=0).to(real)
            some = by_pixel(giving & (share != 0), channels_last) & there
            place = start + places(pixel, channel, pixels, channels, channels_last, wide)
            total += by_pixel(share, channels_last) * tl.load(grad + place, mask=some, other=0).to(real)
    if w2 is not None:
        total *= by_channel(tl.load(w2 + channel, mask=channel < channels, other=0).to(real), channels_last)
    place = start + places(y * w + x, channel, pixels, channels, channels_last, wide)
    tl.store(of_previous + place, total, mask=by_pixel(here, channels_last) & there)
