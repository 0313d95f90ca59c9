"""Equation 2 of the paper, pixel by pixel in Python floats: what every warp is held against."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def slow_warp(features: Tensor, flow: Tensor) -> Tensor:
    """ẑ(x, y) = z(x + u, y + v), by the paper's own terms; in float64."""
    batch, channels, h, w = features.shape
    z = features.double()
    warped = torch.empty(batch, channels, h, w, dtype=torch.float64)
    for b in range(batch):
        for y in range(h):
            for x in range(w):
                # "In case (x', y') lies outside the spatial domain, we back-project to the nearest border."
                x_ = min(max(x + float(flow[b, 0, y, x]), 0.0), w - 1.0)
                y_ = min(max(y + float(flow[b, 1, y, x]), 0.0), h - 1.0)
                x1, y1 = math.floor(x_), math.floor(y_)
                x2, y2 = x1 + 1, y1 + 1  # corner points of the cell; η = 1 on a grid of whole pixels
                value = torch.zeros(channels, dtype=torch.float64)
                for x_corner, x_share in ((x1, x2 - x_), (x2, x_ - x1)):
                    for y_corner, y_share in ((y1, y2 - y_), (y2, y_ - y1)):
                        if x_share * y_share != 0:  # past the border there is no corner, and no share for it
                            value += x_share * y_share * z[b, :, y_corner, x_corner]
                warped[b, :, y, x] = value
    return warped
