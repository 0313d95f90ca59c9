"""Scene cuts, seen in what the flow cannot explain."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from netwarp.model.frames import to_unit_range
from netwarp.ops import resize_flow, warp

__all__ = ["is_cut", "unexplained"]

# The geometric middle of what 'python benchmarks/cuts.py' prints: at 15 frames a second at most 7.5 % stay unexplained
# on rendered streets and 1.8 % on CamVid (at 7.5 a second 10.9 % and 4.6 %); across cuts at least 15.2 % and 19.8 %. At
# 5 frames a second and below flow itself begins to fail, and a new start is right.
THRESHOLD = 0.11
# Where the picture is nearly flat (fog, a wall, black), noise is all its variance: below this error it is no cut.
LEAST_ERROR = 0.02
# Noise and fine texture that no flow aligns are averaged away first.
REDUCTION = 4
# A flow that leaves the frame nearly everywhere leaves too little to judge by: then the border counts as well.
LEAST_SEEN = 0.25


def unexplained(current: Tensor, previous: Tensor, flow: Tensor) -> tuple[float, float]:
    """How badly the previous frame, warped along the flow, explains the current one.

    Brightness and contrast may differ (light changes, cameras adapt): the share is that left by the best gain and
    offset, 1 − r² with the correlation r of the two grey pictures, where the previous one shows what the flow says:
    what a pan uncovers at the border is new, but no other scene.

    Args:
        current: ``[1,3,H,W]``, RGB, uint8 or in 0–1.
        previous: ``[1,3,H,W]``, the frame before it.
        flow: ``[1,2,H,W]``, backward, pixels.

    Returns:
        The share of the current frame's variance that stays unexplained (0–1), and the root of that variance
        (0–1, of a white frame).
    """
    size = (-(-current.shape[-2] // REDUCTION), -(-current.shape[-1] // REDUCTION))
    present, past = (F.adaptive_avg_pool2d(to_unit_range(f).mean(1, keepdim=True), size) for f in (current, previous))
    flow = resize_flow(flow, size).to(past.dtype)
    seen = _within(flow)
    if seen.float().mean() < LEAST_SEEN:
        seen = torch.ones_like(seen)
    present, warped = present[seen], warp(past, flow)[seen]
    present, warped = present - present.mean(), warped - warped.mean()
    variance, other = float(present.square().mean()), float(warped.square().mean())
    covariance = float((present * warped).mean())
    # An inverted picture is not explained: only a positive gain counts.
    explained = max(covariance, 0.0) ** 2 / max(other, 1e-12)
    residual = max(variance - explained, 0.0)
    return residual / max(variance, 1e-12), residual**0.5


def _within(flow: Tensor) -> Tensor:
    """``[B,1,H,W]``, True where a flow ``[B,2,H,W]`` points into the previous frame."""
    h, w = flow.shape[-2:]
    x = torch.arange(w, device=flow.device) + flow[:, 0]
    y = torch.arange(h, device=flow.device).unsqueeze(1) + flow[:, 1]
    return ((x >= -0.5) & (x <= w - 0.5) & (y >= -0.5) & (y <= h - 0.5)).unsqueeze(1)


def is_cut(current: Tensor, previous: Tensor, flow: Tensor) -> bool:
    """Whether two frames show different scenes; shapes as in :func:`unexplained`."""
    share, error = unexplained(current, previous, flow)
    return share > THRESHOLD and error > LEAST_ERROR
