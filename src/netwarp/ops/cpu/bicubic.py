"""Loops of bicubic interpolation, over channels-last maps ``[B,h,w,C]``: contiguous ones are brought to that first.

A pixel comes from four columns and four rows, around its cell's; beyond the border the outermost one counts again.
Cells, arrays, units and results are as in :mod:`netwarp.ops.cpu.channels_last`.
"""

from __future__ import annotations

import numpy as np

from netwarp.ops.cpu.compiled import Array, Group, Size, compiled, compiled_sums


@compiled
def _places(first: int, count: int, at: Array) -> None:
    for i in range(4):
        at[i] = min(max(first + i - 1, 0), count - 1)


@compiled
def _shares(t: float, of: Array) -> None:
    """Catmull and Rom's spline at a share of a cell."""
    of[0], of[1] = ((2 - t) * t - 1) * t / 2, ((3 * t - 5) * t * t + 2) / 2
    of[2], of[3] = ((4 - 3 * t) * t + 1) * t / 2, (t - 1) * t * t / 2


@compiled
def _slopes(t: float, of: Array) -> None:
    """Its derivative."""
    of[0], of[1] = ((4 - 3 * t) * t - 1) / 2, (9 * t - 10) * t / 2
    of[2], of[3] = ((8 - 9 * t) * t + 1) / 2, (3 * t - 2) * t / 2


@compiled
def _gather(source: Array, columns: Array, rows: Array, across: Array, down: Array, out: Array) -> None:
    for j in range(4):
        row = source[rows[j]]
        p, q, r, s = row[columns[0]], row[columns[1]], row[columns[2]], row[columns[3]]
        of_p, of_q, of_r, of_s = across[0] * down[j], across[1] * down[j], across[2] * down[j], across[3] * down[j]
        if j == 0:
            for c in range(out.size):
                out[c] = of_p * p[c] + of_q * q[c] + of_r * r[c] + of_s * s[c]
        else:
            for c in range(out.size):
                out[c] += of_p * p[c] + of_q * q[c] + of_r * r[c] + of_s * s[c]


@compiled
def combine(
    current: Array, previous: Array, cells: Group, weights: Group, result: Array, size: Size, first: int, last: int
) -> None:
    """Eq. 1–3, or Eq. 1–2 where there is no ``current``; units are rows, ``B·h``."""
    (x1, y1, right, lower), (w1, w2, gate), (h, w) = cells, weights, size
    one, half = right.dtype.type(1), right.dtype.type(0.5)
    columns, rows = np.empty(4, np.int64), np.empty(4, np.int64)
    across, down = np.empty(4, right.dtype), np.empty(4, right.dtype)
    for unit in range(first, last):
        b, y = unit // h, unit % h
        for x in range(w):
            k = y * w + x
            _places(x1[b, k], w, columns)
            _places(y1[b, k], h, rows)
            _shares(right[b, k], across)
            _shares(lower[b, k], down)
            out = result[b, y, x]
            _gather(previous[b], columns, rows, across, down, out)
            if current.size == 0:
                continue
            z = current[b, y, x]
            trust = gate[b, k] if gate.size else one
            # Two forms, so that it is exact at both ends; as torch.lerp.
            if trust < half:
                for c in range(out.size):
                    out[c] = w1[c] * z[c] + w2[c] * (z[c] + trust * (out[c] - z[c]))
            else:
                doubt = one - trust
                for c in range(out.size):
                    out[c] = w1[c] * z[c] + w2[c] * (out[c] - doubt * (out[c] - z[c]))


@compiled_sums
def pull(
    grad: Array, sources: Group, cells: Group, weights: Group, results: Group, size: Size, first: int, last: int
) -> None:
    """All gradients but the previous representation's, as :func:`netwarp.ops.cpu.channels_last.pull`."""
    (current, previous), (x1, y1, right, lower), (w1, w2, gate), (h, w) = sources, cells, weights, size
    of_current, of_cell, of_w1, of_w2, of_gate = results
    zero, one = right.dtype.type(0), right.dtype.type(1)
    columns, rows = np.empty(4, np.int64), np.empty(4, np.int64)
    across, down, slopes = np.empty(4, right.dtype), np.empty(4, right.dtype), np.empty(4, right.dtype)
    change = np.empty(previous.shape[3], right.dtype)
    for unit in range(first, last):
        b, y = unit // h, unit % h
        if of_w1.size:
            of_w1[unit] = zero
        if of_w2.size:
            of_w2[unit] = zero
        for x in range(w):
            k = y * w + x
            g = grad[b, y, x]
            trust = gate[b, k] if gate.size else one
            doubt = one - trust
            _places(x1[b, k], w, columns)
            _places(y1[b, k], h, rows)
            _shares(right[b, k], across)
            _shares(lower[b, k], down)
            if of_current.size:
                out = of_current[b, y, x]
                for c in range(g.size):
                    out[c] = g[c] * (w1[c] + doubt * w2[c])
            if of_w1.size:
                z, total = current[b, y, x], of_w1[unit]
                for c in range(g.size):
                    total[c] += g[c] * z[c]
            if of_cell.size:
                u, v = zero, zero
                _slopes(right[b, k], slopes)
                _gather(previous[b], columns, rows, slopes, down, change)
                for c in range(g.size):
                    u += g[c] * w2[c] * change[c]
                _slopes(lower[b, k], slopes)
                _gather(previous[b], columns, rows, across, slopes, change)
                for c in range(g.size):
                    v += g[c] * w2[c] * change[c]
                of_cell[b, 0, k], of_cell[b, 1, k] = trust * u, trust * v
            if of_w2.size or of_gate.size:
                _gather(previous[b], columns, rows, across, down, change)
            if of_gate.size:
                z, pulled = current[b, y, x], zero
                for c in range(g.size):
                    pulled += g[c] * w2[c] * (change[c] - z[c])
                of_gate[b, k] = pulled
            if of_w2.size:
                z, total = current[b, y, x], of_w2[unit]
                for c in range(g.size):
                    total[c] += g[c] * (trust * change[c] + doubt * z[c])


@compiled
def scatter(grad: Array, cells: Group, weights: Group, of_previous: Array, size: Size, first: int, last: int) -> None:
    """The previous representation's gradient; units are *its* rows, ``B·h``, to which pixels all over the map give."""
    (x1, y1, right, lower), (_, w2, gate), (h, w) = cells, weights, size
    one = right.dtype.type(1)
    columns, rows = np.empty(4, np.int64), np.empty(4, np.int64)
    across, down = np.empty(4, right.dtype), np.empty(4, right.dtype)
    for b in range(first // h, (last - 1) // h + 1):
        begin, end = max(first - b * h, 0), min(last - b * h, h)
        of_previous[b, begin:end] = 0
        for k in range(h * w):
            _places(y1[b, k], h, rows)
            if rows[3] < begin or rows[0] >= end:
                continue
            _places(x1[b, k], w, columns)
            _shares(right[b, k], across)
            _shares(lower[b, k], down)
            g = grad[b, k // w, k % w]
            trust = gate[b, k] if gate.size else one
            for j in range(4):
                if begin <= rows[j] < end:
                    for i in range(4):
                        share, target = across[i] * down[j] * trust, of_previous[b, rows[j], columns[i]]
                        if share != 0:
                            for c in range(g.size):
                                target[c] += share * (w2[c] * g[c])
