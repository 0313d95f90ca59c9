"""A table as Markdown and as CSV, the paper's numbers beside ours."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

from netwarp.report.experiment.summary import Spread
from netwarp.report.reproduce.results import MEASURES, Result, paper_gain
from netwarp.report.table import markdown_table

__all__ = ["csv_text", "markdown_text", "signed"]

EMPTY = ""
_IN_PAPER = ("IoU", "tIoU", "iIoU")


def markdown_text(results: Sequence[Result]) -> list[str]:
    """The table in Markdown, without columns in which nothing stands.

    Args:
        results: Of its lines.
    """
    columns: dict[str, Callable[[Result], str]] = {
        **{name: partial(_score, name) for name in MEASURES},
        "ms a frame": _time,
        **{f"{name} − base": partial(_difference, name, "to_base") for name in MEASURES},
        "noise": lambda result: f"{result.noise:.2f}" if math.isfinite(result.noise) else EMPTY,
        **{f"{name} − control": partial(_difference, name, "to_control") for name in ("IoU", "tIoU")},
        **{f"paper: {name}": partial(_published, name.lower()) for name in _IN_PAPER},
        "paper: runtime": _runtime,
        **{f"paper: {name} − base": partial(_gain, name, results) for name in _IN_PAPER},
    }
    table = {name: [cell(result) for result in results] for name, cell in columns.items()}
    table = {name: cells for name, cells in table.items() if any(cells)}
    rows = [[result.line.name, *(cells[i] for cells in table.values())] for i, result in enumerate(results)]
    return markdown_table(("", *table), rows)


def csv_text(results: Sequence[Result]) -> str:
    """The same as CSV: numbers in full, empty where there is none."""
    head = ["line", "kind"]
    head += [f"{name.lower()}{end}" for name in MEASURES for end in ("", "_sd")]
    head += ["seeds", "ms_per_frame", "times_base"]
    head += [f"{name.lower()}_minus_{other}{end}"
             for other in ("base", "control") for name in MEASURES for end in ("", "_sd")]  # fmt: skip
    head += ["noise", "control_noise", "paper_iou", "paper_tiou", "paper_iiou", "paper_runtime", "paper_iou_minus_base"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    for result in results:
        paper = result.line.paper
        cells: list[object] = [result.line.name, result.line.kind]
        cells += [value for name in MEASURES for value in _pair(result.scores.get(name))]
        cells += [result.scores["IoU"].count if result.scores else None]
        cells += [_finite(result.milliseconds), _finite(result.slowdown)]
        for which in (result.to_base, result.to_control):
            cells += [value for name in MEASURES for value in _pair(which.get(name))]
        cells += [_finite(result.noise), _finite(result.control_noise)]
        cells += [paper.iou, paper.tiou, paper.iiou, paper.runtime] if paper else [None] * 4
        cells += [_finite(paper_gain(results, result).get("IoU", math.nan))]
        writer.writerow(["" if cell is None else cell for cell in cells])
    return text.getvalue()


def signed(value: float, digits: int = 2) -> str:
    """A difference with its sign.

    >>> signed(-0.5), signed(0.25), signed(-0.001)
    ('−0.50', '+0.25', '+0.00')
    """
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")


def _score(measure: str, result: Result) -> str:
    spread = result.scores.get(measure)
    if spread is None or not math.isfinite(spread.mean):
        return EMPTY
    return f"{spread.mean:.2f}" + (f" ± {spread.deviation:.2f}" if math.isfinite(spread.deviation) else "")


def _difference(measure: str, other: Literal["to_base", "to_control"], result: Result) -> str:
    spread = (result.to_base if other == "to_base" else result.to_control).get(measure)
    return EMPTY if spread is None or not math.isfinite(spread.mean) else signed(spread.mean)


def _time(result: Result) -> str:
    if not math.isfinite(result.milliseconds):
        return EMPTY
    return f"{result.milliseconds:.1f} ({result.slowdown:.3f} ×)"


def _published(what: str, result: Result) -> str:
    value = None if result.line.paper is None else getattr(result.line.paper, what)
    return EMPTY if value is None else f"{value:.1f}"


def _runtime(result: Result) -> str:
    return EMPTY if result.line.paper is None else result.line.paper.runtime or EMPTY


def _gain(measure: str, results: Sequence[Result], result: Result) -> str:
    value = paper_gain(results, result).get(measure)
    return EMPTY if value is None else signed(value, 1)


def _pair(spread: Spread | None) -> list[float | None]:
    return [None, None] if spread is None else [_finite(spread.mean), _finite(spread.deviation)]


def _finite(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
