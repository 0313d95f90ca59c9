"""The previous representation's gradient: each of its pixels gathers what was pulled from it.

First pixels that come from the same cell are linked to a list. Numbers of pixels and cells go on from image to image; a
cell has the number of its upper left corner. ``heads[cell]`` is the first pixel of its list, ``nexts[pixel]`` the one
after it, −1 is the end. A pixel of the previous frame is the upper left corner of one cell, the upper right of another,
and so on: it goes through the lists of these four. Nothing is added to by two programs, no sum is kept in memory, and
where lists have an order, so has the sum.
"""

from __future__ import annotations

import triton.language as tl

from netwarp.ops.cuda.blocks import by_channel, by_pixel, pixels_of, places, zeros
from netwarp.ops.cuda.cells import cell_at, motion
from netwarp.ops.cuda.launch import device_function, kernel


@device_function
def _cells(
    flow: tl.pointer_type,
    h: tl.tensor,
    w: tl.tensor,
    step: tl.tensor,
    apart: tl.tensor,
    blocks: tl.tensor,
    real: tl.constexpr,
    size: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """The pixels of a program, their cells, and which of them are there."""
    program = tl.program_id(0)
    image = (program // blocks).to(tl.int64)
    pixel = program % blocks * size + tl.arange(0, size)
    here = pixel < h * w
    u, v = motion(flow, image, pixel, here, h * w, step, apart, real)
    column, _right = cell_at((pixel % w).to(real) + u, w - 1, real)
    row, _lower = cell_at((pixel // w).to(real) + v, h - 1, real)
    first = image * h * w
    return first + pixel, first + row * w + column, here


@kernel
def link_as_they_come(
    flow: tl.pointer_type,
    heads: tl.pointer_type,
    nexts: tl.pointer_type,
    h: int,
    w: int,
    step: int,
    apart: int,
    blocks: int,
    real: tl.constexpr,
    size: tl.constexpr,
) -> None:
    """Every pixel puts itself at the head of its cell's list; whoever comes last is first."""
    pixel, cell, here = _cells(flow, h, w, step, apart, blocks, real, size)
    number = pixel.to(heads.dtype.element_ty)
    tl.store(nexts + pixel, tl.atomic_xchg(heads + cell, number, mask=here, sem="relaxed"), mask=here)


@kernel
def number_cells(
    flow: tl.pointer_type,
    cells: tl.pointer_type,
    h: int,
    w: int,
    step: int,
    apart: int,
    blocks: int,
    real: tl.constexpr,
    size: tl.constexpr,
) -> None:
    """Write down every pixel's cell, to be sorted."""
    pixel, cell, here = _cells(flow, h, w, step, apart, blocks, real, size)
    tl.store(cells + pixel, cell, mask=here)


@kernel
def link_in_order(
    cells: tl.pointer_type,
    order: tl.pointer_type,
    heads: tl.pointer_type,
    nexts: tl.pointer_type,
    count: int,
    size: tl.constexpr,
) -> None:
    """Link pixels of a cell as they follow one another."""
    place = tl.program_id(0).to(tl.int64) * size + tl.arange(0, size)
    here, followed = place < count, place + 1 < count
    cell = tl.load(cells + place, mask=here, other=-1)
    pixel = tl.load(order + place, mask=here, other=0)
    same = followed & (tl.load(cells + place + 1, mask=followed, other=-1) == cell)
    tl.store(nexts + pixel, tl.load(order + place + 1, mask=same, other=-1), mask=here)
    begins = here & (tl.load(cells + place - 1, mask=here & (place > 0), other=-1) != cell)
    tl.store(heads + cell, pixel, mask=begins)


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
