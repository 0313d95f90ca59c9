"""What was measured when all rows of a target are done, and what a target makes of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from netwarp.datasets.clips import Clip
from netwarp.evaluation.evaluate import evaluate
from netwarp.lab.machine import machine
from netwarp.lab.paper.lines import Line
from netwarp.lab.paper.setups import Setup
from netwarp.lab.study.build import build, tested_model
from netwarp.lab.study.rows import Row
from netwarp.lab.study.store import Store, UnitScores, key_of
from netwarp.lab.study.study_context import StudyContext
from netwarp.output_files import write_file

if TYPE_CHECKING:
    from pandas import DataFrame


def times_of(rows: Sequence[Row], context: StudyContext, frames: int, store: Store) -> dict[str, float]:
    """Median milliseconds of a frame by row, of models that took turns; weights make no difference to it.

    What was taken on this machine, with as many threads, is not taken again.
    """
    timed = [row for row in rows if not row.control]
    settings = {row.name: row.settings() for row in timed}
    key = key_of({"of": store.identity, "rows": settings, "frames": frames, "machine": machine(context.inputs.device)})
    path = store.folder / f"times-{key}.json"
    kept = _kept(path, settings)
    if kept is not None:
        return kept
    models = {row.name: build(row, context.base) for row in timed}
    data = context.folds[0].test
    first = Clip(data.clips[0].name, data.clips[0].frames[:frames])
    try:
        shown = {row.name: tested_model(row, models[row.name]) for row in timed}
        scores = evaluate(shown, replace(data, clips=(first,)), windows=(), edges="off")
    finally:
        for model in models.values():
            model.remove()
    times = {name: round(score["ms_per_frame"], 3) for name, score in scores.items()}
    write_file(path, json.dumps(times))
    return times


def _kept(path: Path, names: Iterable[str]) -> dict[str, float] | None:
    """Times that were taken; None where there are none, or the file is damaged."""
    try:
        times = {str(name): float(value) for name, value in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return times if set(times) == set(names) and all(0 < t < math.inf for t in times.values()) else None


@dataclass(frozen=True, eq=False)
class Measured:
    """All that was measured."""

    title: str  # of the target
    setup: Setup  # what it was made with
    context: StudyContext  # data and network
    store: Store  # where label maps and models are
    lines: Sequence[Line]  # of the table
    figures: Sequence[UnitScores]  # of all units
    milliseconds: Mapping[str, float]  # median time of a frame by row; empty where times were not taken

    def of(self, row: str) -> list[UnitScores]:
        """The figures of a row, seed by seed."""
        return [figures for figures in self.figures if figures.row == row]

    def pair(self) -> tuple[Row, Row]:
        """The last network frame by frame, and its NetWarp: the multi-scale ones where there are those."""
        base = [line.row for line in self.lines if line.kind == "base" and line.row is not None][-1]
        netwarp = [line.row for line in self.lines if line.kind == "netwarp" and line.base == base.name][-1]
        assert netwarp is not None
        return base, netwarp


@dataclass(frozen=True)
class Report:
    """A target's table, in Markdown and as the frame that becomes the CSV, and what is to be known about it."""

    markdown: str
    table: DataFrame
    notes: Sequence[str] = ()
