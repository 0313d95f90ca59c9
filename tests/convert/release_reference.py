"""The authors' release on a pair of frames, layer by layer in numpy, from its blobs (REFERENCE, part B)."""

from __future__ import annotations

import math

import numpy as np
from caffe_reference import Blobs, convolution, enlarge, max_pool, pspnet, relu


def warp(x: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Place by place: bilinear, and the border's value beyond the border."""
    height, width = x.shape[1:]
    warped = np.empty_like(x)
    for row in range(height):
        for column in range(width):
            across = min(max(column + flow[0, row, column], 0), width - 1)
            down = min(max(row + flow[1, row, column], 0), height - 1)
            left, top = math.floor(across), math.floor(down)
            right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
            upper = (left + 1 - across) * x[:, top, left] + (across - left) * x[:, top, right]
            lower = (left + 1 - across) * x[:, bottom, left] + (across - left) * x[:, bottom, right]
            warped[:, row, column] = (top + 1 - down) * upper + (down - top) * lower
    return warped


def transformed_flow(blobs: Blobs, current: np.ndarray, previous: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """FlowCNN in the release's form."""
    now, past, pooled = (max_pool(x, 8, 8) for x in (current, previous, flow))
    x = np.concatenate((pooled, now, warp(past, pooled)))
    x = relu(convolution(x, blobs["conv1_flo_1"], pad=1))
    x = relu(convolution(x, blobs["conv2_flo_1"], pad=1))
    x = convolution(x, blobs["conv3_flo_1"], pad=1)
    return convolution(np.concatenate((pooled, x)), blobs["flo_transformed_1"])


def release(blobs: Blobs, current: np.ndarray, previous: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Logits ``[classes,H,W]`` of the current frame.

    Args:
        blobs: Those of the file.
        current: ``[3,H,W]``, BGR in 0–255 less the mean.
        previous: The frame before, in the same form.
        flow: ``[2,H,W]``, backward, pixels.
    """
    moved = warp(pspnet(blobs, previous)["conv5_4"], transformed_flow(blobs, current, previous, flow))
    ones = np.ones((1, *moved.shape[1:]))
    w1, w2 = (convolution(ones, blobs[name]) for name in ("conv5_4_0_w", "conv5_4_1_w"))
    combined = w1 * pspnet(blobs, current)["conv5_4"] + w2 * moved
    return enlarge(convolution(relu(combined), blobs["conv6"]), current.shape[1:])
