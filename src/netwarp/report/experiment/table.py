"""The experiment's table, as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from netwarp.report.experiment.summary import MEASURES, Spread, Summary
from netwarp.report.table import markdown_table

__all__ = ["experiment_table"]

HEAD = ("", "IoU", "tIoU, 2 px", "tc", "ms a frame", "IoU − control", "tIoU − control", "tc − control")


def experiment_table(summaries: Sequence[Summary]) -> str:
    """Means ± standard deviations over seeds and folds, and behind them those of the differences to the control.

    Args:
        summaries: The rows.

    Returns:
        Lines of Markdown.
    """
    return "\n".join(markdown_table(HEAD, [_cells(summary) for summary in summaries]))


def _cells(summary: Summary) -> list[str]:
    scores = [_spread(summary.scores[name], signed=False) for name in MEASURES]
    differences = [_spread(summary.to_control[name], signed=True) if summary.to_control else "" for name in MEASURES]
    return [summary.row.name, *scores, _time(summary), *differences]


def _spread(spread: Spread, *, signed: bool) -> str:
    if not math.isfinite(spread.mean):
        return "–"
    mean = f"{spread.mean:+.2f}".replace("-", "−") if signed else f"{spread.mean:.2f}"
    return f"{mean} ± {spread.deviation:.2f}" if math.isfinite(spread.deviation) else mean


def _time(summary: Summary) -> str:
    if not math.isfinite(summary.milliseconds):
        return "–"
    return f"{summary.milliseconds:.1f} ({summary.slowdown:.2f} ×)"
