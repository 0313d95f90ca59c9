"""Flow where two frames hardly show it (occlusion, bare road, sky): the affine motion of what lies around."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

# Chosen on rendered streets ('python benchmarks/dis_settings.py').
REACHES = (64, 16)
"""Deviations of the windows that motion is fitted in, in pixels: the far one counts where the near one sees little."""
ENOUGH = 0.1
"""Share of a window that must be seen for its fit to count in full."""
SHRUNK = 4
"""The fit is made on a grid so many times smaller."""


def filled(flow: Array, back: Array) -> Array:
    """Fit ``flow`` anew where ``back``, the flow from the previous frame, does not return it; both are ``[H,W,2]``."""
    import cv2

    h, w = flow.shape[:2]
    end = flow + np.stack(np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32)), -1)
    returned = cv2.remap(back, end, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    lengths = (flow**2).sum(-1) + (returned**2).sum(-1)
    seen = (((flow + returned) ** 2).sum(-1) < 0.01 * lengths + 0.5) & ((end >= 0) & (end <= (w - 1, h - 1))).all(-1)
    return np.where(seen[..., None], flow, _affine_fit(flow, seen.astype(np.float32)))


def _affine_fit(flow: Array, seen: Array) -> Array:
    """Weighted least squares around every pixel, of u and v as affine functions of x and y."""
    import cv2

    h, w = seen.shape
    small = (max(w // SHRUNK, 1), max(h // SHRUNK, 1))
    weight, sums, fit = (
        cv2.resize(values, small, interpolation=cv2.INTER_AREA).astype(np.float64)
        for values in (seen, flow * seen[..., None], flow)
    )
    x, y = np.meshgrid(*(np.arange(side) / side - 0.5 for side in small))
    basis = np.stack((np.ones_like(x), x, y), -1)
    squares = weight[..., None, None] * basis[..., :, None] * basis[..., None, :]
    moments = np.concatenate((squares, basis[..., :, None] * sums.reshape(*weight.shape, 1, 2)), -1)
    for reach in REACHES:
        around = cv2.GaussianBlur(
            moments.reshape(*weight.shape, 15), (0, 0), reach / SHRUNK, borderType=cv2.BORDER_CONSTANT
        ).reshape(moments.shape)
        solved = np.linalg.solve(around[..., :3] + 1e-6 * np.eye(3), around[..., 3:])
        share = np.minimum(around[..., :1, 0] / ENOUGH, 1)
        fit = fit.reshape(*weight.shape, 2)
        fit += share * ((basis[..., None, :] @ solved)[..., 0, :] - fit)
    return np.asarray(cv2.resize(fit.astype(np.float32), (w, h), interpolation=cv2.INTER_LINEAR))
