"""Many units in few numbers: means and deviations over seeds and folds, paired differences, and the table of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from netwarp.evaluation.intervals import interval
from netwarp.evaluation.scores import Scores
from netwarp.lab.output import EMPTY, markdown_table, number
from netwarp.lab.study.rows import BASE, Row
from netwarp.lab.study.store import UnitScores
from netwarp.metrics.iou import mean_iou

MEASURES: dict[str, Callable[[UnitScores], float]] = {
    "miou": lambda unit: unit.miou,
    "tiou2": lambda unit: unit.tiou[2],
    "tc": lambda unit: unit.tc,
}
"""What the table has, by JSON key; percent."""


@dataclass(frozen=True)
class Spread:
    """Mean and scatter of values."""

    mean: float  # their mean; nan if there is none
    deviation: float  # their standard deviation (that of a sample); nan if there are fewer than two
    count: int  # how many there are
    # between which 95 % of the means over draws of blocks of frames lie; None where there are no draws
    interval: list[float] | None = None

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """The spread of those values that are finite."""
        finite = [value for value in values if math.isfinite(value)]
        return cls(
            statistics.fmean(finite) if finite else math.nan,
            statistics.stdev(finite) if len(finite) > 1 else math.nan,
            len(finite),
        )

    def as_dict(self) -> dict[str, Any]:
        """As the JSON has it."""
        return {"mean": self.mean, "sd": self.deviation, "n": self.count, "interval": self.interval}


def differences(
    units: Sequence[UnitScores],
    others: Sequence[UnitScores],
    measures: Mapping[str, Callable[[UnitScores], float]] = MEASURES,
) -> dict[str, Spread]:
    """What a row has more than another, unit by unit: same fold, same seed."""
    pairs = _pairs(units, others)
    spreads = {name: Spread.of(m(unit) - m(other) for unit, other in pairs) for name, m in measures.items()}
    return {name: replace(spread, interval=_interval_of(pairs, name)) for name, spread in spreads.items()}


def _interval_of(pairs: Sequence[tuple[UnitScores, UnitScores]], measure: str) -> list[float] | None:
    """Of the mean of the differences of pairs, each taken draw by draw."""
    draws = [[unit.resampled.get(measure, ()), other.resampled.get(measure, ())] for unit, other in pairs]
    if not pairs or not all(map(len, chain(*draws))):
        return None
    ours, others = np.array(draws).transpose(1, 0, 2)
    found: list[float] | None = interval((ours - others).mean(0))
    return found


def relative_gain(units: Sequence[UnitScores], base: Sequence[UnitScores]) -> dict[int, Spread]:
    """How much better than another row, in percent of what that has, by the width of the trimap (paper, figure 4)."""
    pairs = _pairs(units, base)
    widths = sorted({width for unit, _ in pairs for width in unit.tiou})
    known = {w: [(unit.tiou[w], other.tiou[w]) for unit, other in pairs if other.tiou[w]] for w in widths}
    return {w: Spread.of(100 * (value - base) / base for value, base in values) for w, values in known.items()}


def _pairs(units: Sequence[UnitScores], others: Sequence[UnitScores]) -> list[tuple[UnitScores, UnitScores]]:
    """Each unit with the other row's of the same fold and seed; rows without chance have one seed, for all."""
    by_place = {(other.fold, other.seed): other for other in others}
    seeds = {other.seed for other in others}
    only = seeds.pop() if len(seeds) == 1 else -1
    found = ((unit, by_place.get((unit.fold, unit.seed)) or by_place.get((unit.fold, only))) for unit in units)
    return [(unit, other) for unit, other in found if other is not None]


def scores_without_each_clip(confusions: Mapping[str, Tensor]) -> dict[str, float]:
    """Mean IoU in percent of all clips but one, by the name of that; nothing where there is but one."""
    if len(confusions) < 2:
        return {}
    total = torch.stack(list(confusions.values())).sum(0)
    return {clip: mean_iou(total - confusion) for clip, confusion in confusions.items()}


def jackknife(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Standard error of a difference in mean IoU by which clips were tested on (Tukey's jackknife).

    >>> jackknife({"a": 50.0, "b": 52.0}, {"a": 50.0, "b": 50.0})
    1.0
    """
    apart = [one[clip] - other[clip] for clip in one if clip in other and math.isfinite(one[clip] - other[clip])]
    return math.sqrt((len(apart) - 1) * statistics.pvariance(apart)) if len(apart) > 1 else math.nan


def summarise(rows: Sequence[Row], units: Sequence[UnitScores], timed: Mapping[str, Scores]) -> list[dict[str, Any]]:
    """All numbers of each row, by JSON key, unrounded but for times; the network frame by frame is one of the rows."""
    by_row = {row.name: [unit for unit in units if unit.row == row.name] for row in rows}
    base, milliseconds = by_row[BASE], {name: scores["ms_per_frame"] for name, scores in timed.items()}
    return [
        {
            "name": row.name,
            "control": row.against or None,
            "settings": row.settings(),
            "trained_parameters": own[0].parameters,
            **{name: Spread.of(map(measure, own)) for name, measure in MEASURES.items()},
            "minus_control": differences(own, by_row[row.against]) if row.against else {},
            "minus_frame_by_frame": differences(own, base) if row.name != BASE else {},
            "relative_tiou_gain": relative_gain(own, base),
            "per_class": {name: Spread.of(unit.per_class[name] for unit in own) for name in own[0].per_class},
            "network_share": timed[row.name]["network_share"],
            "ms_per_frame": round(milliseconds[row.name], 2),
            "times_frame_by_frame": round(milliseconds[row.name] / milliseconds[BASE], 3),
        }
        for row in rows
        for own in [by_row[row.name]]
    ]


HEAD = ("", "IoU", "tIoU, 2 px", "tc", "ms a frame")
GAINED = ("IoU gained", "tIoU gained", "tc gained")


def experiment_table(summaries: Sequence[Mapping[str, Any]]) -> str:
    """Means ± standard deviations over seeds and folds, and what each row gains over its control or frame by frame."""
    head = list(HEAD)
    if keyframes := any(row["network_share"] < 100 for row in summaries):
        head.append("network on")
    lines = []
    for row in summaries:
        line = [row["name"], *(_cell(row[name]) for name in MEASURES)]
        line.append(f"{number(row['ms_per_frame'], 1)} ({number(row['times_frame_by_frame'], 2)} ×)")
        if keyframes:
            line.append(f"{number(row['network_share'], 0)} %")
        gained = row["minus_control"] or row["minus_frame_by_frame"]
        lines.append([*line, *(_cell(gained[name], signed=True) if gained else "" for name in MEASURES)])
    return markdown_table([*head, *GAINED], lines)


def _cell(spread: Spread, *, signed: bool = False) -> str:
    mean, deviation = number(spread.mean, 2, signed=signed), number(spread.deviation, 2)
    cell = mean if deviation == EMPTY else f"{mean} ± {deviation}"
    if spread.interval is None:
        return cell
    return f"{cell} [{', '.join(number(bound, 2, signed=True) for bound in spread.interval)}]"
