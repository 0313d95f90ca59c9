"""Where every pixel comes from: the cell of four pixels, and their shares.

As the Convention block of :mod:`netwarp.ops.warp` says, and to the last bit as :mod:`netwarp.ops.cpu.compute`.
"""

from __future__ import annotations

import triton.language as tl

from netwarp.ops.cuda.launch import device_function


@device_function
def motion(
    flow: tl.pointer_type,
    image: tl.tensor,
    pixel: tl.tensor,
    here: tl.tensor,
    pixels: tl.tensor,
    step: tl.tensor,
    apart: tl.tensor,
    real: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor]:
    """Flow at pixels of one image, u and v, 0 where a pixel is not ``here``."""
    start = flow + image.to(tl.int64) * 2 * pixels
    u = tl.load(start + pixel * step, mask=here, other=0).to(real)
    v = tl.load(start + pixel * step + apart, mask=here, other=0).to(real)
    return u, v


@device_function
def cell_at(place: tl.tensor, last: tl.tensor, real: tl.constexpr) -> tuple[tl.tensor, tl.tensor]:
    """A coordinate, clamped, as the number of the cell's first pixel and the share of its second, 0–1.

    NaN has no pixel to come from: it takes the first, with a share of NaN.
    """
    clamped = tl.where(place < 0, 0.0, tl.where(place > last.to(real), last.to(real), place))
    first = tl.where(clamped == clamped, clamped, 0.0).to(tl.int32)
    return first, clamped - first.to(real)


@device_function
def inside(place: tl.tensor, last: tl.tensor, real: tl.constexpr) -> tl.tensor:
    """Whether a coordinate is on the map, not clamped to it. NaN is nowhere."""
    return (place >= 0) & (place <= last.to(real))


@device_function
def corners(
    column: tl.tensor, row: tl.tensor, h: tl.tensor, w: tl.tensor
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """Numbers of a cell's pixels: upper left, upper right, lower left, lower right; at the border some are the same."""
    right, below = tl.minimum(column + 1, w - 1), tl.minimum(row + 1, h - 1) * w
    above = row * w
    return above + column, above + right, below + column, below + right


@device_function
def shares(right: tl.tensor, lower: tl.tensor) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """Of the sum, in the same order."""
    left, upper = 1 - right, 1 - lower
    return left * upper, right * upper, left * lower, right * lower


@device_function
def spline(t: tl.tensor, tap: tl.constexpr) -> tl.tensor:
    """Of the sum, what a column or row has in bicubic interpolation; ``tap`` 1 is the cell's first, ``t`` its share."""
    if tap == 0:
        return ((2 - t) * t - 1) * t / 2
    elif tap == 1:  # noqa: RET505 - Triton wants all of them
        return ((3 * t - 5) * t * t + 2) / 2
    elif tap == 2:
        return ((4 - 3 * t) * t + 1) * t / 2
    else:
        return (t - 1) * t * t / 2
