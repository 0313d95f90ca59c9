"""Loops over whole frames: how well they fit along flow, and labels carried along it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from netwarp.ops.cpu.compiled import Array, compiled
from netwarp.ops.cpu.compute import run


def photometric_error(current: Tensor, previous: Tensor, flow: Tensor) -> Tensor:
    """See :func:`netwarp.ops.frames.photometric_error`; both frames uint8."""
    batch, _, h, w = current.shape
    error = torch.empty((batch, 1, h, w))
    arrays = (flow.float().contiguous().numpy(), current.contiguous().numpy(), previous.contiguous().numpy())
    run(_differences, (*arrays, error.numpy()), batch * h, 8 * error.numel())
    return error


def labels_along(answer: Tensor, labels: Tensor, flow: Tensor) -> Tensor:
    """See :func:`netwarp.ops.frames.labels_along`."""
    batch, h = labels.shape[:2]
    moved = torch.empty_like(labels, memory_format=torch.contiguous_format)
    arrays = (answer.float().numpy(), labels.contiguous().numpy(), flow.float().contiguous().numpy())
    run(_move, (*arrays, moved.numpy()), batch * h, 8 * moved.numel())
    return moved


@compiled
def _differences(flow: Array, current: Array, previous: Array, error: Array, first: int, last: int) -> None:
    """Mean absolute difference over three channels, 0–1; units are rows, ``B·h``."""
    h, w = flow.shape[2:]
    zero, one, last_x, last_y = np.float32(0), np.float32(1), np.float32(w - 1), np.float32(h - 1)
    scale = one / np.float32(3 * 255)
    for unit in range(first, last):
        b, y = unit // h, unit % h
        for x in range(w):
            across, down = np.float32(x) + flow[b, 0, y, x], np.float32(y) + flow[b, 1, y, x]
            across = min(max(across, zero), last_x) if across == across else zero
            down = min(max(down, zero), last_y) if down == down else zero
            x1, y1 = np.int32(across), np.int32(down)
            x2, y2 = min(x1 + 1, w - 1), min(y1 + 1, h - 1)
            right, lower = across - np.float32(x1), down - np.float32(y1)
            total = zero
            for c in range(3):
                upper = previous[b, c, y1, x1] * (one - right) + previous[b, c, y1, x2] * right
                below = previous[b, c, y2, x1] * (one - right) + previous[b, c, y2, x2] * right
                total += abs(upper * (one - lower) + below * lower - current[b, c, y, x])
            error[b, 0, y, x] = total * scale


@compiled
def _move(answer: Array, labels: Array, flow: Array, moved: Array, first: int, last: int) -> None:
    """Labels of the answer, read between four pixels; units are rows, ``B·h``.

    Where all four have one label, that is the result: a weighted mean has its largest entry where all four have it.
    """
    classes, h, w = answer.shape[1:]
    zero, one, last_x, last_y = np.float32(0), np.float32(1), np.float32(w - 1), np.float32(h - 1)
    for unit in range(first, last):
        b, y = unit // h, unit % h
        for x in range(w):
            across, down = np.float32(x) + flow[b, 0, y, x], np.float32(y) + flow[b, 1, y, x]
            across = min(max(across, zero), last_x) if across == across else zero
            down = min(max(down, zero), last_y) if down == down else zero
            x1, y1 = np.int32(across), np.int32(down)
            x2, y2 = min(x1 + 1, w - 1), min(y1 + 1, h - 1)
            best = labels[b, y1, x1]
            if best == labels[b, y1, x2] and best == labels[b, y2, x1] and best == labels[b, y2, x2]:
                moved[b, y, x] = best
                continue
            right, lower = across - np.float32(x1), down - np.float32(y1)
            largest = -np.float32(np.inf)
            for c in range(classes):
                value = (one - right) * (one - lower) * answer[b, c, y1, x1] + right * (one - lower) * answer[
                    b, c, y1, x2
                ]
                value += (one - right) * lower * answer[b, c, y2, x1] + right * lower * answer[b, c, y2, x2]
                if value > largest:
                    largest, best = value, c
            moved[b, y, x] = best
