"""Where every pixel comes from: the cell of four pixels, and their shares."""

from __future__ import annotations

import numpy as np

from netwarp.ops.cpu.compiled import Array, compiled


@compiled
def locate(flow: Array, x1: Array, y1: Array, right: Array, lower: Array, first: int, last: int) -> None:
    """Follow a flow, as the Convention block of :mod:`netwarp.ops.warp` says; units are rows, ``B·h``."""
    h, w = flow.shape[2:]
    real = flow.dtype.type
    zero, last_x, last_y = real(0), real(w - 1), real(h - 1)
    for unit in range(first, last):
        b, y = unit // h, unit % h
        for x in range(w):
            k = y * w + x
            across, down = real(x) + flow[b, 0, y, x], real(y) + flow[b, 1, y, x]
            across = zero if across < zero else last_x if across > last_x else across
            down = zero if down < zero else last_y if down > last_y else down
            # NaN has no pixel to come from: it takes the first, with shares of NaN.
            column = np.int32(across if across == across else zero)
            row = np.int32(down if down == down else zero)
            x1[b, k], y1[b, k] = column, row
            right[b, k], lower[b, k] = across - real(column), down - real(row)


@compiled
def hold(flow: Array, gradient: Array, first: int, last: int) -> None:
    """Take the gradient from coordinates that were clamped; ``[B,2,h,w]`` both, units are rows, ``B·h``."""
    h, w = flow.shape[2:]
    real = flow.dtype.type
    zero, last_x, last_y = real(0), real(w - 1), real(h - 1)
    for unit in range(first, last):
        b, y = unit // h, unit % h
        for x in range(w):
            # Not the other way round: NaN is nowhere.
            if not (zero <= real(x) + flow[b, 0, y, x] <= last_x):
                gradient[b, 0, y, x] = zero
            if not (zero <= real(y) + flow[b, 1, y, x] <= last_y):
                gradient[b, 1, y, x] = zero
