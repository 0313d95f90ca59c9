"""Temporal consistency: how far labels stay the same along the flow, as a share of pixels and as mean IoU."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from netwarp.errors import InputError
from netwarp.label_sets import IGNORE
from netwarp.metrics.iou import IoU
from netwarp.metrics.metric import ONE, Labels, Metric, as_labels, share


def temporal_consistency(previous: Labels, current: Labels, flow: Tensor) -> float:
    """Share of the pixels whose label equals the previous frame's label along the flow.

    Each pixel (x, y) is compared with the pixel of the previous frame nearest to (x+u, y+v); halves go right and down.
    Pixels that come from outside the frame, or are labelled 255 in either frame, are not counted.

    Labels are integer ``[H,W]`` or ``[B,H,W]``, and the flow ``[B,2,H,W]`` (or ``[2,H,W]``) is backward, in pixels. The
    result is in percent, the mean over the batch's pairs; nan where no pixel can be compared.

    >>> flow = torch.zeros(1, 2, 1, 4)
    >>> flow[:, 0] = -1  # everything moved one pixel to the right
    >>> temporal_consistency(torch.tensor([[5, 6, 7, 8]]), torch.tensor([[0, 5, 6, 9]]), flow)
    66.66666666666667
    """
    shares = [100 * same / compared for same, compared in _counts(previous, current, flow) if compared]
    return sum(shares) / len(shares) if shares else math.nan


class MeanOfPairs(Metric):
    """The mean of a share over pairs of frames."""

    total: Tensor
    pairs: Tensor

    def __init__(self) -> None:
        super().__init__(total=(), pairs=())

    def compute(self) -> float:
        """The mean over all pairs, in percent; nan where there is none."""
        return 100 * int(self.total) / (int(self.pairs) * ONE) if self.pairs else math.nan


class TemporalConsistency(MeanOfPairs):
    """Mean of :func:`temporal_consistency` over a video's pairs of consecutive frames.

    Attributes:
        total: int64 scalar, the sum of the pairs' shares in units of 1/:data:`netwarp.metrics.metric.ONE`.
        pairs: int64 scalar, their number.

    >>> metric = TemporalConsistency()
    >>> labels = torch.tensor([[1, 2], [3, 4]])
    >>> metric.update(labels, labels, torch.zeros(1, 2, 2, 2))
    >>> metric.compute()
    100.0
    """

    def update(self, previous: Labels, current: Labels, flow: Tensor) -> None:
        """Add pairs; see :func:`temporal_consistency`. Pairs with nothing to compare are left out."""
        shares = [share(same, compared) for same, compared in _counts(previous, current, flow) if compared]
        self.total = self.total + sum(shares)
        self.pairs = self.pairs + len(shares)


def _counts(previous: Labels, current: Labels, flow: Tensor) -> list[tuple[int, int]]:
    """For each pair of a batch: how many pixels kept their label, of how many that can be compared."""
    now, brought, compared = along_flow(previous, current, flow)
    compared &= (brought != IGNORE) & (now != IGNORE)
    same = (compared & (brought == now)).sum((1, 2))
    return list(zip(same.tolist(), compared.sum((1, 2)).tolist(), strict=True))


def along_flow(previous: Labels, current: Labels, flow: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The current labels, the previous ones brought along the flow, and where these come from within the frame.

    Labels are int64 ``[B,H,W]``, and are those of the nearest pixel; halves go right and down.
    """
    before, now = as_labels(previous, "the previous labels"), as_labels(current, "the current labels")
    flow = flow[None] if flow.ndim == 3 else flow
    b, h, w = now.shape
    if before.shape != now.shape or flow.shape != (b, 2, h, w):
        raise InputError(
            f"temporal consistency needs labels [B,H,W] twice and flow [B,2,H,W], got {list(before.shape)}, "
            f"{list(now.shape)} and {list(flow.shape)}"
        )
    if not torch.isfinite(flow).all():
        raise InputError("temporal consistency needs flow that is finite everywhere, but this has NaN or infinity")
    before, flow = before.to(now.device), flow.detach().to(now.device, torch.float64)
    x = torch.floor(torch.arange(w, device=now.device) + flow[:, 0] + 0.5)
    y = torch.floor(torch.arange(h, device=now.device)[:, None] + flow[:, 1] + 0.5)
    within = (x >= 0) & (x < w) & (y >= 0) & (y < h)
    place = torch.where(within, y * w + x, 0).long()
    return now, before.flatten(1).gather(1, place.flatten(1)).view(b, h, w), within


class WarpedIoU(IoU):
    """TC of Liu, Shen, Yu, Wang (ECCV 2020) and of VSPW: mIoU of each frame's labels and the warped previous ones.

    One confusion matrix for all pairs: a small class counts as much as a large one, unlike in
    :class:`~netwarp.metrics.TemporalConsistency`, the share of pixels. The current labels stand for the truth: pixels
    that they give no class are ignored, and a warped label that is no class is wrong. What comes from outside the frame
    is not counted.

    >>> import numpy as np
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
