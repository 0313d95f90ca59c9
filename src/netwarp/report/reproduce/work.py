"""What is at hand when all rows of a target are done, and what is made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from netwarp.report.experiment.bench import Bench
from netwarp.report.experiment.rows import Row
from netwarp.report.experiment.units import Figures, Store
from netwarp.report.reproduce.lines import Line
from netwarp.report.reproduce.setups import Setup

__all__ = ["Made", "Work"]


@dataclass(frozen=True, eq=False)
class Work:
    """All that was measured.

    Attributes:
        title: Of the target.
        setup: What it was made with.
        bench: Data and network.
        store: Where label maps and models are.
        lines: Of the table.
        figures: Of all units.
        milliseconds: Median time of a frame by row; empty where times were not taken.
    """

    title: str
    setup: Setup
    bench: Bench
    store: Store
    lines: Sequence[Line]
    figures: Sequence[Figures]
    milliseconds: Mapping[str, float]

    def of(self, row: Row) -> list[Figures]:
        """The figures of a row, seed by seed."""
        return [figures for figures in self.figures if figures.row == row.name]

    def pair(self) -> tuple[Row, Row]:
        """The last network frame by frame, and its NetWarp: the multi-scale ones where there are those."""
        base = [line.row for line in self.lines if line.kind == "base" and line.row is not None][-1]
        netwarp = [line.row for line in self.lines if line.kind == "netwarp" and line.base == base.name][-1]
        assert netwarp is not None
        return base, netwarp


@dataclass(frozen=True)
class Made:
    """What was made of it, beside the picture.

    Attributes:
        table: Lines of Markdown.
        csv: The same as CSV.
        said: What it comes to, sentence by sentence.
    """

    table: Sequence[str]
    csv: str
    said: Sequence[str]
