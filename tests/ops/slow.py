"""Equations 1–3 of the paper, pixel by pixel in Python floats: what every warp is held against."""

import math

import torch
from torch import Tensor


def triangle(distance: float) -> float:
    """Bilinear: the paper's terms (x2 − x')(…), each of which is 1 less the distance to a corner."""
    return max(0.0, 1 - distance)


def keys(distance: float, a: float = -0.5) -> float:
    """Cubic convolution (Keys, 1981, Eq. 4), which for this a is Catmull and Rom's spline."""
    if distance <= 1:
        return (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    return a * distance**3 - 5 * a * distance**2 + 8 * a * distance - 4 * a if distance < 2 else 0.0


SHARES = {"bilinear": triangle, "bicubic": keys}


def slow_warp(features: Tensor, flow: Tensor, interpolation: str = "bilinear") -> Tensor:
    """ẑ(x, y) = z(x + u, y + v), in float64."""
    batch, channels, h, w = features.shape
    share, z = SHARES[interpolation], features.double()
    warped = torch.zeros(batch, channels, h, w, dtype=torch.float64)
    for b in range(batch):
        for y in range(h):
            for x in range(w):
                # "In case (x', y') lies outside the spatial domain, we back-project to the nearest border."
                x_ = min(max(x + float(flow[b, 0, y, x]), 0.0), w - 1.0)
                y_ = min(max(y + float(flow[b, 1, y, x]), 0.0), h - 1.0)
                for column in range(math.floor(x_) - 1, math.floor(x_) + 3):
                    for row in range(math.floor(y_) - 1, math.floor(y_) + 3):
                        seen = z[b, :, min(max(row, 0), h - 1), min(max(column, 0), w - 1)]
                        warped[b, :, y, x] += share(abs(x_ - column)) * share(abs(y_ - row)) * seen
    return warped


def slow_combine(current, previous, flow, w1, w2, gate, interpolation: str = "bilinear") -> Tensor:
    """w1 ⊙ z + w2 ⊙ (g·ẑ + (1−g)·z), in float64."""
    warped, present = slow_warp(previous, flow, interpolation), current.double()
    trust = 1.0 if gate is None else gate.double()
    brought = trust * warped + (1 - trust) * present
    return w1.double().view(1, -1, 1, 1) * present + w2.double().view(1, -1, 1, 1) * brought
