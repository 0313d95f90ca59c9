"""Which pixels come from a cell: a list for each, as links from pixel to pixel.

Numbers of pixels and cells go on from image to image; a cell has the number of its upper left corner. ``heads[cell]``
is the first pixel of its list, ``nexts[pixel]`` the one after it, −1 is the end.
"""

from __future__ import annotations

import triton.language as tl

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
