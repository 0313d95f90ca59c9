"""Lucas and Kanade's flow, dense and from coarse to fine, in nothing but plain operations on tensors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from netwarp.flow.estimator import check_frames, frames_to_float
from netwarp.ops.warp import resize_flow, warp

COARSEST = 12
"""Side, in pixels, that no level of the pyramid goes below."""

FINEST = 1
"""Level, at 1/2^level of the size, at which the estimate ends: as of DIS, half the size is what labels need."""

WINDOW = 7
UPDATES = 3
LARGEST_UPDATE = 1.0
STIFFNESS = 1e-4
"""Added to the squared gradients (of grey values in 0–1, summed over a window): where there is none, flow stays."""


class LucasKanadeFlow:
    """Lucas–Kanade flow at every pixel (Lucas and Kanade, IJCAI 1981), over a pyramid, without weights.

    It runs on every device, gives gradients to nothing, and can be exported into the graph of a network
    (``netwarp export --flow inside``). DIS is better where motion is large and boundaries matter.
    """

    spec = "lk"

    def __call__(self, current: Tensor, previous: Tensor, index: int | None = None) -> Tensor:
        """Estimate backward flow; see :class:`netwarp.flow.FlowEstimator`."""
        check_frames(current, previous)
        with torch.no_grad(), torch.autocast(current.device.type, enabled=False):
            return self.between(frames_to_float(current), frames_to_float(previous))

    def between(self, current: Tensor, previous: Tensor) -> Tensor:
        """Estimate it from frames ``[B,3,H,W]`` in 0–1, which are not checked."""
        height, width = current.shape[-2:]
        levels = max((min(height, width) // COARSEST).bit_length() - 1, FINEST)
        step = 2**levels
        below, right = -height % step, -width % step
        margin = (0, right, 0, below)
        pyramid = [[F.pad(frame.mean(1, True), margin, mode="replicate") for frame in (current, previous)]]
        for _ in range(levels):
            pyramid.append([F.avg_pool2d(grey, 2) for grey in pyramid[-1]])
        flow = torch.zeros_like(torch.cat((pyramid[-1][0],) * 2, 1))
        for present, past in reversed(pyramid[FINEST:]):
            flow = _refined(present, past, resize_flow(flow, (present.shape[-2], present.shape[-1])))
        return resize_flow(flow, (height + below, width + right))[..., :height, :width].contiguous()

    def __repr__(self) -> str:
        return "LucasKanadeFlow()"


def _refined(present: Tensor, past: Tensor, flow: Tensor) -> Tensor:
    """Improve the flow of a level: ∇·d = present − warped past, in the least squares over each window."""
    across, down = _slopes(present)
    xx, xy, yy = _over_window(across * across), _over_window(across * down), _over_window(down * down)
    xx, yy = xx + STIFFNESS, yy + STIFFNESS
    scale = 1 / (xx * yy - xy * xy)
    for _ in range(UPDATES):
        error = present - warp(past, flow)
        x, y = _over_window(across * error), _over_window(down * error)
        update = torch.cat((yy * x - xy * y, xx * y - xy * x), 1) * scale
        flow = _over_window(flow + update.clamp(-LARGEST_UPDATE, LARGEST_UPDATE), 3)
    return flow


def _slopes(grey: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences across and down."""
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    return across, (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2


def _over_window(values: Tensor, side: int = WINDOW) -> Tensor:
    return F.avg_pool2d(values, side, 1, side // 2, count_include_pad=False)
