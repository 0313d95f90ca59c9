"""Loops over contiguous maps, planes ``[B,C,h·w]``: a pixel's channels lie far apart, so that channels pass by in turn.

Random reads are what costs: of a plane only the rows that are needed are copied, in order, to a *window* in a core's
own cache, with the last column and row of the plane there twice, so that the neighbours of every corner are one column
and one row away. Group, units and results are as in :mod:`netwarp.ops.cpu.channels_last`.
"""

from __future__ import annotations

import numpy as np

from netwarp.ops.cpu.compiled import Array, Group, Size, compiled, compiled_sums

TILE = 8192
"""Pixels that are done at a time, as long as that is no less than an eighth of a plane: where flow comes from
everywhere, every window is the whole of it."""


@compiled
def _rows_of_a_tile(h: int, w: int) -> int:
    return min(max(TILE // w, (h + 7) // 8, 1), h)


@compiled
def _corners(x1: Array, y1: Array, w: int, corner: Array) -> tuple[int, int]:
    """Upper left corners as places in a window, and the rows that are in it."""
    low, high = y1[0], y1[0]
    for k in range(x1.size):
        low, high = min(low, y1[k]), max(high, y1[k])
    for k in range(x1.size):
        corner[k] = (y1[k] - low) * (w + 1) + x1[k]
    return low, high + 2


@compiled
def _open(plane: Array, low: int, high: int, h: int, w: int, window: Array) -> None:
    for y in range(low, high):
        start, row = min(y, h - 1) * w, window[(y - low) * (w + 1) :]
        for x in range(w):
            row[x] = plane[start + x]
        row[w] = plane[start + w - 1]


@compiled
def _gather(window: Array, corner: Array, w: int, right: Array, lower: Array, out: Array) -> None:
    one, next_column, next_row = right.dtype.type(1), np.uint64(1), np.uint64(w + 1)
    for k in range(out.size):
        i = np.uint64(corner[k])
        j = i + next_row
        left, upper = one - right[k], one - lower[k]
        out[k] = (
            left * upper * window[i]
            + right[k] * upper * window[i + next_column]
            + left * lower[k] * window[j]
            + right[k] * lower[k] * window[j + next_column]
        )


@compiled
def combine(
    current: Array, previous: Array, cells: Group, weights: Group, result: Array, size: Size, first: int, last: int
) -> None:
    """Eq. 1–3, or Eq. 1–2 where there is no ``current``; units are rows, ``B·h``."""
    (x1, y1, right, lower), (w1, w2, gate), (h, w) = cells, weights, size
    one, half = right.dtype.type(1), right.dtype.type(0.5)
    tile = _rows_of_a_tile(h, w)
    corner = np.empty(tile * w, np.uint32)
    window = np.empty((h + 1) * (w + 1), right.dtype)
    unit = first
    while unit < last:
        b, y = unit // h, unit % h
        rows = min(tile, last - unit, h - y)
        here = slice(y * w, (y + rows) * w)
        low, high = _corners(x1[b, here], y1[b, here], w, corner)
        for c in range(previous.shape[1]):
            _open(previous[b, c], low, high, h, w, window)
            out = result[b, c, here]
            _gather(window, corner, w, right[b, here], lower[b, here], out)
            if current.size == 0:
                continue
            z = current[b, c, here]
            if gate.size == 0:
                for k in range(out.size):
                    out[k] = w1[c] * z[k] + w2[c] * out[k]
                continue
            trust = gate[b, here]
            # Two forms, so that it is exact at both ends; as torch.lerp.
            for k in range(out.size):
                change = out[k] - z[k]
                brought = z[k] + trust[k] * change if trust[k] < half else out[k] - (one - trust[k]) * change
                out[k] = w1[c] * z[k] + w2[c] * brought
        unit += rows


@compiled
def _gather_slopes(
    window: Array, corner: Array, w: int, right: Array, lower: Array, warped: Array, across: Array, down: Array
) -> None:
    """As :func:`_gather`, but for the order of its sum, and by how much that changes with the coordinates."""
    one, next_column, next_row = right.dtype.type(1), np.uint64(1), np.uint64(w + 1)
    for k in range(right.size):
        i = np.uint64(corner[k])
        j = i + next_row
        p, q, r, s = window[i], window[i + next_column], window[j], window[j + next_column]
        left, upper = one - right[k], one - lower[k]
        top, bottom = left * p + right[k] * q, left * r + right[k] * s
        warped[k] = upper * top + lower[k] * bottom
        across[k] = upper * (q - p) + lower[k] * (s - r)
        down[k] = bottom - top


@compiled_sums
def _dot_rows(one: Array, other: Array, w: int, dots: Array) -> None:
    for row in range(dots.size):
        p, q = one[row * w : row * w + w], other[row * w : row * w + w]
        dot = one.dtype.type(0)
        for x in range(w):
            dot += p[x] * q[x]
        dots[row] = dot


@compiled_sums
def pull(
    grad: Array, sources: Group, cells: Group, weights: Group, results: Group, size: Size, first: int, last: int
) -> None:
    """All gradients but the previous representation's, as :func:`netwarp.ops.cpu.channels_last.pull`."""
    (current, previous), (x1, y1, right, lower), (w1, w2, gate), (h, w) = sources, cells, weights, size
    of_current, of_cell, of_w1, of_w2, of_gate = results
    zero, one = right.dtype.type(0), right.dtype.type(1)
    tile = _rows_of_a_tile(h, w)
    corner = np.empty(tile * w, np.uint32)
    window = np.empty((h + 1) * (w + 1), right.dtype)
    warped, across, down = (
        np.empty(tile * w, right.dtype),
        np.empty(tile * w, right.dtype),
        np.empty(tile * w, right.dtype),
    )
    unit = first
    while unit < last:
        b, y = unit // h, unit % h
        rows = min(tile, last - unit, h - y)
        here = slice(y * w, (y + rows) * w)
        low, high = _corners(x1[b, here], y1[b, here], w, corner)
        if of_cell.size:
            of_cell[b, :, here] = zero
        if of_gate.size:
            of_gate[b, here] = zero
        for c in range(previous.shape[1]):
            g = grad[b, c, here]
            if of_current.size:
                out = of_current[b, c, here]
                if gate.size:
                    trust = gate[b, here]
                    for k in range(g.size):
                        out[k] = g[k] * (w1[c] + (one - trust[k]) * w2[c])
                else:
                    for k in range(g.size):
                        out[k] = g[k] * w1[c]
            if of_w1.size:
                _dot_rows(g, current[b, c, here], w, of_w1[unit : unit + rows, c])
            if not (of_cell.size or of_w2.size or of_gate.size):
                continue
            _open(previous[b, c], low, high, h, w, window)
            if of_cell.size:
                _gather_slopes(window, corner, w, right[b, here], lower[b, here], warped, across, down)
                u, v = of_cell[b, 0, here], of_cell[b, 1, here]
                for k in range(g.size):
                    pulled = g[k] * w2[c]
                    u[k] += pulled * across[k]
                    v[k] += pulled * down[k]
            else:
                _gather(window, corner, w, right[b, here], lower[b, here], warped[: g.size])
            if of_gate.size:
                z, change = current[b, c, here], of_gate[b, here]
                for k in range(g.size):
                    change[k] += g[k] * w2[c] * (warped[k] - z[k])
            if of_w2.size and gate.size:
                z, trust = current[b, c, here], gate[b, here]
                for k in range(g.size):
                    warped[k] = trust[k] * warped[k] + (one - trust[k]) * z[k]
            if of_w2.size:
                _dot_rows(g, warped, w, of_w2[unit : unit + rows, c])
        if of_cell.size and gate.size:
            trust, u, v = gate[b, here], of_cell[b, 0, here], of_cell[b, 1, here]
            for k in range(trust.size):
                u[k] *= trust[k]
                v[k] *= trust[k]
        unit += rows


@compiled
def _close(window: Array, low: int, high: int, h: int, w: int, plane: Array) -> None:
    """The inverse of :func:`_open`: what was added to a window's second last column or row counts for the first."""
    plane[: low * w] = 0
    plane[min(high, h) * w :] = 0
    for y in range(low, high):
        row = window[(y - low) * (w + 1) :]
        out = plane[min(y, h - 1) * w :]
        if y < h:
            out[:w] = row[:w]
        else:
            for x in range(w):
                out[x] += row[x]
        out[w - 1] += row[w]


@compiled
def scatter(grad: Array, cells: Group, weights: Group, of_previous: Array, size: Size, first: int, last: int) -> None:
    """The previous representation's gradient; units are its planes, ``B·C``."""
    (x1, y1, right, lower), (_, w2, gate), (h, w) = cells, weights, size
    one, next_column, next_row = right.dtype.type(1), np.uint64(1), np.uint64(w + 1)
    channels = grad.shape[1]
    corner = np.empty(h * w, np.uint32)
    window, other = np.empty((h + 1) * (w + 1), right.dtype), np.empty((h + 1) * (w + 1), right.dtype)
    opened = -1
    unit = first
    while unit < last:
        b, c = unit // channels, unit % channels
        if b != opened:
            low, high = _corners(x1[b], y1[b], w, corner)
            opened = b
        # Two planes at a time: one adds while the other waits for what it has just added to.
        d = min(c + 1, channels - 1, c + last - unit - 1)
        window[: (high - low) * (w + 1)] = 0
        other[: (high - low) * (w + 1)] = 0
        for k in range(h * w):
            i = np.uint64(corner[k])
            j = i + next_row
            trust = gate[b, k] if gate.size else one
            for_c, for_d = w2[c] * trust * grad[b, c, k], w2[d] * trust * grad[b, d, k]
            left, upper = one - right[b, k], one - lower[b, k]
            ul, ur, ll, lr = left * upper, right[b, k] * upper, left * lower[b, k], right[b, k] * lower[b, k]
            window[i] += ul * for_c
            other[i] += ul * for_d
            window[i + next_column] += ur * for_c
            other[i + next_column] += ur * for_d
            window[j] += ll * for_c
            other[j] += ll * for_d
            window[j + next_column] += lr * for_c
            other[j + next_column] += lr * for_d
        _close(window, low, high, h, w, of_previous[b, c])
        _close(other, low, high, h, w, of_previous[b, d])
        unit += 1 + d - c


@compiled
def _along(place: np.float32, length: int) -> tuple[int, int, np.float32]:
    """The pixels to both sides of a place, clamped, and the second's share; of NaN the first pixel alone."""
    last = np.float32(length - 1)
    place = min(max(place, np.float32(0)), last) if place == place else np.float32(0)
    pixel = int(place)
    return pixel, min(pixel + 1, length - 1), place - np.float32(pixel)


@compiled
def differences(flow: Array, current: Array, previous: Array, error: Array, first: int, last: int) -> None:
    """Mean absolute difference over three channels, 0–1; units are rows, ``B·h``."""
    h, w = flow.shape[2:]
    one, scale = np.float32(1), np.float32(1 / (3 * 255))
    for unit in range(first, last):
        b, y = unit // h, unit % h
        for x in range(w):
            x1, x2, right = _along(np.float32(x) + flow[b, 0, y, x], w)
            y1, y2, lower = _along(np.float32(y) + flow[b, 1, y, x], h)
            total = np.float32(0)
            for c in range(3):
                upper = previous[b, c, y1, x1] * (one - right) + previous[b, c, y1, x2] * right
                below = previous[b, c, y2, x1] * (one - right) + previous[b, c, y2, x2] * right
                total += abs(upper * (one - lower) + below * lower - current[b, c, y, x])
            error[b, 0, y, x] = total * scale


@compiled
def move_labels(answer: Array, labels: Array, flow: Array, moved: Array, first: int, last: int) -> None:
    """Labels of the answer, read between four pixels; units are rows, ``B·h``.

    Where all four have one label, that is the result: a weighted mean has its largest entry where all four have it.
    """
    classes, h, w = answer.shape[1:]
    one = np.float32(1)
    for unit in range(first, last):
        b, y = unit // h, unit % h
        for x in range(w):
            x1, x2, right = _along(np.float32(x) + flow[b, 0, y, x], w)
            y1, y2, lower = _along(np.float32(y) + flow[b, 1, y, x], h)
            best = labels[b, y1, x1]
            if best == labels[b, y1, x2] and best == labels[b, y2, x1] and best == labels[b, y2, x2]:
                moved[b, y, x] = best
                continue
            largest = -np.float32(np.inf)
            for c in range(classes):
                upper = (one - right) * answer[b, c, y1, x1] + right * answer[b, c, y1, x2]
                below = (one - right) * answer[b, c, y2, x1] + right * answer[b, c, y2, x2]
                value = (one - lower) * upper + lower * below
                if value > largest:
                    largest, best = value, c
            moved[b, y, x] = best
