"""Many units in few numbers: means and deviations over seeds and folds, and paired differences to the control."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from netwarp.datasets.clips import ClipData, ClipFrame
from netwarp.lab.study.rows import BASE, Row
from netwarp.lab.study.store import UnitScores
from netwarp.metrics import confusion_matrix
from netwarp.metrics.iou import mean_iou


class Jackknife:
    """Counts pixels clip by clip."""

    def __init__(self, data: ClipData) -> None:
        self._classes = len(data.classes)
        self._clip_of = {frame.name: clip.name for clip in data.clips for frame in clip.frames}
        self._matrices: dict[str, Tensor] = {}

    def add(self, frame: ClipFrame, labels: Tensor) -> None:
        """Count a frame, if it is labelled."""
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

    >>> jackknife({"a": 50.0, "b": 52.0}, {"a": 50.0, "b": 50.0})
    1.0
    """
    differences = [one[clip] - other[clip] for clip in one if clip in other and math.isfinite(one[clip] - other[clip])]
    if len(differences) < 2:
        return math.nan
    return math.sqrt((len(differences) - 1) * statistics.pvariance(differences))


MEASURES: dict[str, Callable[[UnitScores], float]] = {
    "miou": lambda figures: figures.miou,
    "tiou2": lambda figures: figures.tiou[2],
    "tc": lambda figures: figures.tc,
}
"""What the table compares, in percent: IoU, IoU within 2 pixels of label changes, temporal consistency."""


@dataclass(frozen=True)
class Spread:
    """A number of values."""

    mean: float  # their mean; nan if there is none
    deviation: float  # their standard deviation (that of a sample); nan if there are fewer than two
    count: int  # how many there are

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of those values that are finite."""
        finite = [value for value in values if math.isfinite(value)]
        return cls(
            statistics.fmean(finite) if finite else math.nan,
            statistics.stdev(finite) if len(finite) > 1 else math.nan,
            len(finite),
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values; null for nan."""
        mean, deviation = (round(v, 4) if math.isfinite(v) else None for v in (self.mean, self.deviation))
        return {"mean": mean, "sd": deviation, "n": self.count}


@dataclass(frozen=True)
class Summary:
    """A row of the table."""

    row: Row  # what it is
    scores: dict[str, Spread]  # each of MEASURES over seeds and folds
    # differences to the control, unit by unit: same fold, same seed. Empty for rows without control
    to_control: dict[str, Spread]
    to_base: dict[str, Spread]  # differences to the network frame by frame on the same fold; empty for that itself
    milliseconds: float  # median time of a frame; nan where it was not taken
    slowdown: float  # in times of the network frame by frame


def summarise(
    rows: Sequence[Row], figures: Sequence[UnitScores], milliseconds: Mapping[str, float] | None = None
) -> list[Summary]:
    """One summary for each row."""
    times = milliseconds or {}
    of = {row.name: [f for f in figures if f.row == row.name] for row in rows}
    return [
        Summary(
            row=row,
            scores={name: Spread.of([measure(f) for f in of[row.name]]) for name, measure in MEASURES.items()},
            to_control=differences(of[row.name], of[row.against]) if row.against in of else {},
            to_base=differences(of[row.name], of[BASE]) if BASE in of and row.name != BASE else {},
            milliseconds=times.get(row.name, math.nan),
            slowdown=times.get(row.name, math.nan) / times.get(BASE, math.nan),
        )
        for row in rows
    ]


def differences(
    figures: Sequence[UnitScores],
    others: Sequence[UnitScores],
    measures: Mapping[str, Callable[[UnitScores], float]] = MEASURES,
) -> dict[str, Spread]:
    """What a row has more than another, unit by unit: same fold, same seed."""
    pairs = [(f, other) for f in figures if (other := _partner(f, others)) is not None]
    return {name: Spread.of([m(f) - m(other) for f, other in pairs]) for name, m in measures.items()}


def _partner(figures: UnitScores, others: Sequence[UnitScores]) -> UnitScores | None:
    """That of the same fold and seed; rows without chance have but one seed."""
    same = [other for other in others if other.fold == figures.fold]
    return next((other for other in same if other.seed == figures.seed), same[0] if len(same) == 1 else None)


def relative_gain(figures: Sequence[UnitScores], base: Sequence[UnitScores]) -> dict[int, Spread]:
    """How much better than another row, in percent of what that has, by the width of the trimap (paper, figure 4)."""
    pairs = [(f, other) for f in figures if (other := _partner(f, base)) is not None]
    widths = sorted({width for f, _ in pairs for width in f.tiou})
    return {width: Spread.of([_relative(f.tiou[width], other.tiou[width]) for f, other in pairs]) for width in widths}


def _relative(value: float, base: float) -> float:
    return 100 * (value - base) / base if base else math.nan
