"""Metrics of networks without exclusive classes: labels that may share a pixel, and values such as depth."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from netwarp.errors import InputError
from netwarp.label_sets import IGNORE
from netwarp.metrics.metric import ONE, Metric, as_labels
from netwarp.metrics.temporal import MeanOfPairs, TemporalConsistency
from netwarp.ops import warp


class LabelIoU(Metric):
    """IoU of each of C labels, each of which is at a pixel or not, against a map with one label a pixel.

    >>> metric = LabelIoU(2)
    >>> metric.update(torch.tensor([[[[1, 1, 0]], [[0, 1, 1]]]]), torch.tensor([[0, 1, 255]]))
    >>> metric.per_class()
    (50.0, 100.0)
    """

    both: Tensor
    either: Tensor

    def __init__(self, classes: int) -> None:
        self.classes = classes
        super().__init__(both=(classes,), either=(classes,))

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add frames: ``[B,C,H,W]`` of 0 and 1, and labels ``[B,H,W]`` or ``[H,W]``."""
        wanted = as_labels(target, "the target")
        b, h, w = wanted.shape
        _check(prediction, b, None, h, w)
        _check(prediction[:, : self.classes], b, self.classes, h, w)
        known = (wanted != IGNORE)[:, None]
        there = torch.stack([wanted == number for number in range(self.classes)], 1)
        said = prediction[:, : self.classes].bool() & known
        self.both = self.both + (said & there).sum((0, 2, 3)).cpu()
        self.either = self.either + (said | there).sum((0, 2, 3)).cpu()

    def per_class(self) -> tuple[float, ...]:
        """IoU of each label in percent; nan where it is neither there nor said."""
        sums = zip(self.both.tolist(), self.either.tolist(), strict=True)
        return tuple(100 * both / either if either else math.nan for both, either in sums)

    def compute(self) -> float:
        """Their mean, in percent."""
        known = [value for value in self.per_class() if not math.isnan(value)]
        return sum(known) / len(known) if known else math.nan


class LabelConsistency(TemporalConsistency):
    """:class:`TemporalConsistency` of each of C labels being there or not, on average: ``[1,C,H,W]``."""

    def update(self, previous: Tensor, current: Tensor, flow: Tensor) -> None:  # type: ignore[override]
        """Add a pair."""
        _check(current, 1, None, *flow.shape[-2:])
        _check(previous, *current.shape)
        super().update(previous[0], current[0], flow.expand(current.shape[1], -1, -1, -1))


class WarpingError(MeanOfPairs):
    """How far values are from those that the flow brings, where it can be trusted, against their own spread.

    Of each pair of frames: the mean absolute difference, weighted by the trust, in percent of the values' mean absolute
    deviation from their mean over the frame. 0 is a still video that stays as it is. Flat frames are not counted.

    >>> metric = WarpingError()
    >>> ramp = torch.arange(4.0).expand(1, 1, 4)
    >>> metric.update(ramp, ramp + 0.5, torch.zeros(1, 2, 1, 4), torch.ones(1, 1, 1, 4))
    >>> metric.compute()
    50.0
    """

    def update(self, previous: Tensor, prediction: Tensor, flow: Tensor, trust: Tensor) -> None:
        """Add a pair: values ``[1,H,W]`` or ``[1,C,H,W]``, backward flow ``[1,2,H,W]``, and trust ``[1,1,H,W]``."""
        values = [] if isinstance(prediction, Tensor) and prediction.ndim == 3 else [None]
        _check(prediction, 1, *values, *flow.shape[-2:])
        _check(previous, *prediction.shape)
        before, now = (each if each.ndim == 4 else each[:, None] for each in (previous.double(), prediction.double()))
        spread = (now - now.mean((2, 3), keepdim=True)).abs().mean((2, 3), keepdim=True)
        weight = trust.to(now.device, torch.float64).expand_as(now) * (spread > 0)
        if not bool(weight.sum() > 0):
            return
        apart = (now - warp(before, flow.to(now.device))).abs() / spread.clamp_min(1e-300)
        self.total = self.total + round(float((weight * apart).sum() / weight.sum()) * ONE)
        self.pairs = self.pairs + 1


def _check(maps: Tensor, *sizes: int | None) -> None:
    """Refuse what is no tensor of these sizes, of which None is any."""
    if not isinstance(maps, Tensor):
        raise InputError(f"maps must be a torch.Tensor, not {type(maps).__name__}")
    if maps.ndim != len(sizes) or any(size not in (None, found) for found, size in zip(maps.shape, sizes, strict=True)):
        wanted = ", ".join("C" if size is None else str(size) for size in sizes)
        raise InputError(f"maps must be [{wanted}], not {list(maps.shape)}")
