"""Temporal consistency as the literature counts it: mean IoU of labels and the previous frame's, warped along flow."""

from __future__ import annotations

from torch import Tensor

from netwarp.errors import InputError
from netwarp.label_sets import IGNORE
from netwarp.metrics.iou import IoU
from netwarp.metrics.metric import Labels
from netwarp.metrics.temporal import along_flow


class WarpedIoU(IoU):
    """TC of Liu, Shen, Yu, Wang (ECCV 2020) and of VSPW: mIoU of each frame's labels and the warped previous ones.

    One confusion matrix for all pairs: a small class counts as much as a large one, unlike in
    :class:`~netwarp.metrics.TemporalConsistency`, the share of pixels. The current labels stand for the truth: pixels
    that they give no class are ignored, and a warped label that is no class is wrong. What comes from outside the frame
    is not counted.

    >>> import numpy as np, torch
    >>> metric = WarpedIoU(classes=2)
    >>> metric.update(np.array([[0, 0, 1, 1]]), np.array([[0, 0, 0, 1]]), torch.zeros(1, 2, 1, 4))
    >>> round(metric.compute(), 2)
    58.33
    """

    def update(  # type: ignore[override]
        self, previous: Labels, current: Labels, flow: Tensor, visible: Tensor | None = None
    ) -> None:
        """Add pairs, as for :func:`netwarp.metrics.temporal_consistency`.

        With ``visible``, bool ``[B,H,W]``, only pixels that the previous frame showed are counted.
        """
        now, brought, counted = along_flow(previous, current, flow)
        if visible is not None and visible.shape != now.shape:
            raise InputError(f"where pixels are visible must be {list(now.shape)}, not {list(visible.shape)}")
        if visible is not None:
            counted = counted & visible.to(now.device)
        no_class = (now < 0) | (now >= self.classes)
        super().update(brought, now.masked_fill(no_class | ~counted, IGNORE))
