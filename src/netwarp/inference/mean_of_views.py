"""The mean of what a network says of the views of a frame: where windows overlap, of mirrors, and over scales."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from netwarp.inference.views import Flip, Tiling, View
from netwarp.model.task import Task


def mean_over_scales(scales: Iterable[Tensor], size: tuple[int, int]) -> Tensor:
    """Average the probabilities ``[B,classes,h,w]`` of scales, each brought to the frame's size as it comes."""
    total: Tensor | None = None
    count = 0
    for probabilities in scales:
        if tuple(probabilities.shape[-2:]) != size:
            probabilities = F.interpolate(probabilities, size=size, mode="bilinear", align_corners=False)
        total = probabilities if total is None else total.add_(probabilities)
        count += 1
    assert total is not None  # there is at least one scale
    return total.div_(count) if count > 1 else total


class MeanOfViews:
    """Averages the probabilities of a scale's views, which come in their order, where they overlap."""

    def __init__(self, tiling: Tiling, flip: Flip, task: Task) -> None:
        self._tiling, self._flip, self._task = tiling, flip, task
        self._total: Tensor | None = None
        self._twin: Tensor | None = None

    def add(self, view: View, logits: Tensor) -> None:
        """Add a view's logits ``[B,classes,h,w]``; what lies beyond the frame is dropped."""
        logits = logits.to(torch.promote_types(torch.float32, logits.dtype))
        upright = logits.flip(-1) if view.mirrored else logits
        if self._flip == "logits" and not view.mirrored:
            self._twin = upright  # the next view is its mirrored twin
            return
        task = self._task
        probabilities = task.probabilities(upright) if self._twin is None else task.of_mirrors(upright, self._twin)
        size = self._tiling.size
        if not self._flip and self._tiling.window == size:
            self._total = probabilities
            return
        if self._total is None:
            self._total = logits.new_zeros(logits.shape[0], logits.shape[1], *size)
        h, w = logits.shape[-2:]
        place = self._total[..., view.top : view.top + h, view.left : view.left + w]
        place += probabilities[..., : place.shape[-2], : place.shape[-1]]

    def result(self) -> Tensor:
        """The mean ``[B,classes,H,W]`` of all that were added."""
        assert self._total is not None  # there is at least one view
        if not self._flip and self._tiling.window == self._tiling.size:
            return self._total
        rows, columns = (self._total.new_tensor(counts) for counts in self._tiling.coverage())
        return self._total.div_(rows.unsqueeze(1) * columns * (2 if self._flip == "probabilities" else 1))
