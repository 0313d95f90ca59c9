"""What mean IoU would be without each of the clips that were tested on: how much it depends on which those are."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping

import torch
from torch import Tensor

from netwarp.data.clips import ClipData, ClipFrame
from netwarp.metrics import confusion_matrix
from netwarp.metrics.iou import mean_iou

__all__ = ["LeftOut", "jackknife"]


class LeftOut:
    """Counts pixels clip by clip.

    Args:
        data: What is tested on.
    """

    def __init__(self, data: ClipData) -> None:
        self._classes = len(data.classes)
        self._clip_of = {frame.name: clip.name for clip in data.clips for frame in clip.frames}
        self._matrices: dict[str, Tensor] = {}

    def add(self, frame: ClipFrame, labels: Tensor) -> None:
        """Count a frame, if it is labelled.

        Args:
            frame: Of the data.
            labels: ``[1,H,W]``, what a model said.
        """
        if frame.labels is None:
            return
        clip, truth = self._clip_of[frame.name], torch.from_numpy(frame.labels().astype("int64"))[None]
        counted = confusion_matrix(labels.cpu(), truth, self._classes)
        self._matrices[clip] = self._matrices.get(clip, torch.zeros_like(counted)) + counted

    def scores(self) -> dict[str, float]:
        """Mean IoU in percent of all clips but one, by the name of that; nothing where there is but one."""
        if len(self._matrices) < 2:
            return {}
        total = torch.stack(list(self._matrices.values())).sum(0)
        return {clip: mean_iou(total - matrix) for clip, matrix in self._matrices.items()}


def jackknife(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Standard error of a difference in mean IoU by which clips were tested on (Tukey's jackknife).

    Args:
        one: From :meth:`LeftOut.scores`.
        other: Likewise, of another model on the same clips.

    Returns:
        In points; nan where there are fewer than two clips.

    >>> jackknife({"a": 50.0, "b": 52.0}, {"a": 50.0, "b": 50.0})
    1.0
    """
    differences = [one[clip] - other[clip] for clip in one if clip in other and math.isfinite(one[clip] - other[clip])]
    if len(differences) < 2:
        return math.nan
    return math.sqrt((len(differences) - 1) * statistics.pvariance(differences))
