"""Zero flow: the control that shows what flow is worth."""

from __future__ import annotations

import torch
from torch import Tensor

from netwarp.flow.estimator import check_frames


class ZeroFlow:
    """Flow of a scene where nothing moves: the previous frame is combined where it lies."""

    spec = "zero"

    def __call__(self, current: Tensor, previous: Tensor, index: int | None = None) -> Tensor:
        """Return zero flow; see :class:`netwarp.flow.FlowEstimator`."""
        check_frames(current, previous)
        b, _, h, w = current.shape
        return torch.zeros(b, 2, h, w, dtype=torch.float32, device=current.device)

    def __repr__(self) -> str:
        return "ZeroFlow()"
