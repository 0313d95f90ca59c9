"""Loops over channels-last maps ``[B,h,w,C]``: a pixel's channels lie side by side, and pass by at memory's speed.

``cells`` are what :func:`netwarp.ops.cpu.compute.locate` finds, ``weights`` are w1, w2 and a gate ``[B,h·w]``; all are
C-contiguous and of one dtype. An array of size 0 stands for what is not there or not wanted. Each loop does its units
from ``first`` to ``last``, and gives the same result however they are divided: side by side comes out, bitwise, what
one thread gives.
"""

from __future__ import annotations

import numpy as np

from netwarp.ops.cpu.compiled import Array, Group, Size, compiled, compiled_sums


@compiled
def combine(
    current: Array, previous: Array, cells: Group, weights: Group, result: Array, size: Size, first: int, last: int
) -> None:
    """Eq. 1–3, or Eq. 1–2 where there is no ``current``; units are rows, ``B·h``."""
    (x1, y1, right, lower), (w1, w2, gate), (h, w) = cells, weights, size
    one, half = right.dtype.type(1), right.dtype.type(0.5)
    channels = np.uint64(previous.shape[3])
    # Unsigned, as for a signed index it is asked every time whether it counts from the end; and rows of arrays once for
    # a row of pixels: with few channels such things are half of the time.
    next_x, next_y, columns, rows = np.uint64(1), np.uint64(1), np.uint64(w), np.uint64(h)
    for unit in range(first, last):
        b, y = unit // h, unit % h
        source, target = previous[b].reshape(-1), result[b].reshape(-1)
        own = current[b].reshape(-1) if current.size else source
        of_x1, of_y1, of_right, of_lower = x1[b], y1[b], right[b], lower[b]
        of_gate = gate[b] if gate.size else of_right
        for x in range(w):
            k = np.uint64(y * w + x)
            xl, yu = np.uint64(of_x1[k]), np.uint64(of_y1[k])
            xr, yl = min(xl + next_x, columns - next_x), min(yu + next_y, rows - next_y)
            i, j = (yu * columns + xl) * channels, (yu * columns + xr) * channels
            p, q = source[i : i + channels], source[j : j + channels]
            i, j = (yl * columns + xl) * channels, (yl * columns + xr) * channels
            r, s = source[i : i + channels], source[j : j + channels]
            to_right, to_lower = of_right[k], of_lower[k]
            left, upper = one - to_right, one - to_lower
            ul, ur, ll, lr = left * upper, to_right * upper, left * to_lower, to_right * to_lower
            i = k * channels
            out = target[i : i + channels]
            if current.size == 0:
                for c in range(previous.shape[3]):
                    out[c] = ul * p[c] + ur * q[c] + ll * r[c] + lr * s[c]
                continue
            z = own[i : i + channels]
            if gate.size == 0:
                for c in range(previous.shape[3]):
                    out[c] = w1[c] * z[c] + w2[c] * (ul * p[c] + ur * q[c] + ll * r[c] + lr * s[c])
                continue
            trust = of_gate[k]
            doubt = one - trust
            # Two forms, so that it is exact at both ends; as torch.lerp.
            if trust < half:
                for c in range(previous.shape[3]):
                    warped = ul * p[c] + ur * q[c] + ll * r[c] + lr * s[c]
                    out[c] = w1[c] * z[c] + w2[c] * (z[c] + trust * (warped - z[c]))
            else:
                for c in range(previous.shape[3]):
                    warped = ul * p[c] + ur * q[c] + ll * r[c] + lr * s[c]
                    out[c] = w1[c] * z[c] + w2[c] * (warped - doubt * (warped - z[c]))


@compiled_sums
def pull(
    grad: Array, sources: Group, cells: Group, weights: Group, results: Group, size: Size, first: int, last: int
) -> None:
    """All gradients but the previous representation's; units are rows, ``B·h``.

    ``sources`` are the current and the previous representation. ``results`` are the gradients of the current one; of
    where in its cell a pixel comes from, ``[B,2,h·w]``; of w1 and w2, ``[B·h,C]``, each row's share; and of the gate.
    """
    (current, previous), (x1, y1, right, lower), (w1, w2, gate), (h, w) = sources, cells, weights, size
    of_current, of_cell, of_w1, of_w2, of_gate = results
    channels = previous.shape[3]
    zero, one = right.dtype.type(0), right.dtype.type(1)
    reads_previous = of_cell.size > 0 or of_w2.size > 0 or of_gate.size > 0
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
            if of_current.size:
                out = of_current[b, y, x]
                for c in range(channels):
                    out[c] = g[c] * (w1[c] + doubt * w2[c])
            if of_w1.size:
                z, total = current[b, y, x], of_w1[unit]
                for c in range(channels):
                    total[c] += g[c] * z[c]
            if not reads_previous:
                continue
            xl, yu = x1[b, k], y1[b, k]
            xr, yl = min(xl + 1, w - 1), min(yu + 1, h - 1)
            p, q, r, s = previous[b, yu, xl], previous[b, yu, xr], previous[b, yl, xl], previous[b, yl, xr]
            left, upper = one - right[b, k], one - lower[b, k]
            ul, ur, ll, lr = left * upper, right[b, k] * upper, left * lower[b, k], right[b, k] * lower[b, k]
            if of_cell.size:
                u, v = zero, zero
                for c in range(channels):
                    pulled = g[c] * w2[c]
                    u += pulled * (upper * (q[c] - p[c]) + lower[b, k] * (s[c] - r[c]))
                    v += pulled * (left * (r[c] - p[c]) + right[b, k] * (s[c] - q[c]))
                of_cell[b, 0, k], of_cell[b, 1, k] = trust * u, trust * v
            if of_w2.size:
                total = of_w2[unit]
                if gate.size:
                    z = current[b, y, x]
                    for c in range(channels):
                        warped = ul * p[c] + ur * q[c] + ll * r[c] + lr * s[c]
                        total[c] += g[c] * (trust * warped + doubt * z[c])
                else:
                    for c in range(channels):
                        total[c] += g[c] * (ul * p[c] + ur * q[c] + ll * r[c] + lr * s[c])
            if of_gate.size:
                z, change = current[b, y, x], zero
                for c in range(channels):
                    warped = ul * p[c] + ur * q[c] + ll * r[c] + lr * s[c]
                    change += g[c] * w2[c] * (warped - z[c])
                of_gate[b, k] = change


@compiled
def _give(share: float, grad: Array, w2: Array, target: Array) -> None:
    if share != 0:
        for c in range(target.size):
            target[c] += share * (w2[c] * grad[c])


@compiled
def scatter(grad: Array, cells: Group, weights: Group, of_previous: Array, size: Size, first: int, last: int) -> None:
    """The previous representation's gradient; units are *its* rows, ``B·h``, to which pixels all over the map give."""
    (x1, y1, right, lower), (_, w2, gate), (h, w) = cells, weights, size
    one = right.dtype.type(1)
    for b in range(first // h, (last - 1) // h + 1):
        begin, end = max(first - b * h, 0), min(last - b * h, h)
        of_previous[b, begin:end] = 0
        for k in range(h * w):
            xl, yu = x1[b, k], y1[b, k]
            xr, yl = min(xl + 1, w - 1), min(yu + 1, h - 1)
            if yl < begin or yu >= end:
                continue
            g = grad[b, k // w, k % w]
            trust = gate[b, k] if gate.size else one
            left, upper = one - right[b, k], one - lower[b, k]
            if yu >= begin:
                _give(left * upper * trust, g, w2, of_previous[b, yu, xl])
                _give(right[b, k] * upper * trust, g, w2, of_previous[b, yu, xr])
            if yl < end:
                _give(left * lower[b, k] * trust, g, w2, of_previous[b, yl, xl])
                _give(right[b, k] * lower[b, k] * trust, g, w2, of_previous[b, yl, xr])
