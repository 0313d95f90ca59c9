"""The joint bilateral filter of a map of classes, guided by the frame; see :mod:`netwarp.ops.edges`.

Only pixels whose window holds more than one label are filtered. Units of all loops are rows, ``B·h``.
"""

from __future__ import annotations

import math

import numpy as np

from netwarp.ops.cpu.compiled import Array, compiled


@compiled
def find_mixed(labels: Array, radius: int, mixed: Array, first: int, last: int) -> None:
    """Whether a pixel's window holds more than one label; ``[B,h,w]`` both."""
    h, w = labels.shape[1:]
    for unit in range(first, last):
        b, y = unit // h, unit % h
        for v in range(max(0, y - radius), min(h, y + radius + 1)):
            for u in range(-radius, radius + 1):
                for x in range(max(0, -u), min(w, w - u)):
                    # Unsigned, since numba looks whether a signed index is below 0.
                    here, there = np.uint64(x), np.uint64(x + u)
                    mixed[b, y, here] |= labels[b, v, there] != labels[b, y, here]


@compiled
def spread(mixed: Array, radius: int, near: Array, first: int, last: int) -> None:
    """Whether a mixed pixel is in the window; ``[B,h,w]`` both."""
    h, w = mixed.shape[1:]
    for unit in range(first, last):
        b, y = unit // h, unit % h
        for v in range(max(0, y - radius), min(h, y + radius + 1)):
            for u in range(-radius, radius + 1):
                for x in range(max(0, -u), min(w, w - u)):
                    near[b, y, np.uint64(x)] |= mixed[b, v, np.uint64(x + u)]


@compiled
def soften(answer: Array, near: Array, probabilities: Array, first: int, last: int) -> None:
    """Probabilities of the logits ``[B,C,h,w]`` at the pixels that are near; elsewhere nothing is written."""
    classes, h, w = answer.shape[1:]
    for unit in range(first, last):
        b, y = unit // h, unit % h
        for x in range(w):
            if not near[b, y, x]:
                continue
            largest, total = -np.float32(np.inf), np.float32(0)
            for c in range(classes):
                largest = max(largest, answer[b, c, y, x])
            for c in range(classes):
                value = np.float32(math.exp(answer[b, c, y, x] - largest))
                probabilities[b, c, y, x] = value
                total += value
            for c in range(classes):
                probabilities[b, c, y, x] /= total


@compiled
def weigh(
    probabilities: Array,
    labels: Array,
    frame: Array,
    mixed: Array,
    near: Array,
    weights: Array,
    radius: int,
    moved: Array,
    filtered: Array,
    first: int,
    last: int,
) -> None:
    """Labels ``[B,h,w]`` of the weighted means over windows; ``filtered`` gets those means near by, if it has a size.

    ``weights`` are those of squared distances between colours, from 0 on; the last is that of all beyond.
    """
    h, w = labels.shape[1:]
    side, one = 2 * radius + 1, np.uint64(1)
    of_taps = np.empty(side * side, np.float32)
    found = np.empty(side * side, np.int64)
    farthest = np.int32(len(weights) - 1)
    for unit in range(first, last):
        b, y = unit // h, unit % h
        top, bottom = max(0, y - radius), min(h, y + radius + 1)
        for x in range(w):
            own = labels[b, y, x]
            moved[b, y, x] = own
            if not mixed[b, y, x]:
                if filtered.size and near[b, y, x]:
                    filtered[b, :, y, x] = probabilities[b, :, y, x]
                continue
            left, right = max(0, x - radius), min(w, x + radius + 1)
            red, green, blue = np.int32(frame[b, 0, y, x]), np.int32(frame[b, 1, y, x]), np.int32(frame[b, 2, y, x])
            tap, total, count = np.uint64(0), np.float32(0), 1
            found[0] = own
            for row in range(top, bottom):
                for column in range(left, right):
                    v, u = np.uint64(row), np.uint64(column)
                    in_red, in_green = np.int32(frame[b, 0, v, u]) - red, np.int32(frame[b, 1, v, u]) - green
                    in_blue = np.int32(frame[b, 2, v, u]) - blue
                    distance = min(in_red * in_red + in_green * in_green + in_blue * in_blue, farthest)
                    of_taps[tap] = weights[np.uint64(distance)]
                    total += of_taps[tap]
                    tap += one
                    label, new = labels[b, v, u], True
                    for k in range(count):
                        new &= found[k] != label
                    if new:
                        found[count] = label
                        count += 1
            if filtered.size:
                filtered[b, :, y, x] = 0
            largest = -np.float32(np.inf)
            for k in range(count):
                c, tap, mean = np.uint64(found[k]), np.uint64(0), np.float32(0)
                for row in range(top, bottom):
                    for column in range(left, right):
                        mean += of_taps[tap] * probabilities[b, c, np.uint64(row), np.uint64(column)]
                        tap += one
                if filtered.size:
                    filtered[b, c, y, x] = mean / total
                if mean > largest or (mean == largest and found[k] < moved[b, y, x]):
                    largest = mean
                    moved[b, y, x] = found[k]
