"""The demo's table, for the terminal, in Markdown and in JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from netwarp.evaluation.scores import Scores
from netwarp.lab.output import markdown_table, number

BASE, CONTROL, FREE, NETWARP = "Frame by frame", "Control", "Training-free", "NetWarp"
"""The rows of the table."""

READING = (
    "The control is trained exactly like NetWarp, with the weight of the past held at 0: "
    "what NetWarp gains beyond it comes from video."
)

COLUMNS = ("IoU", "IoU within 2 px of label changes", "Temporal consistency", "ms a frame")
"""Percent, percent, percent, milliseconds (median, flow included)."""

WIDTH = 2


def cells(scores: Scores) -> tuple[str, ...]:
    """A row of the table, one text for each of :data:`COLUMNS`."""
    shares = (scores["miou"], scores["tiou"][WIDTH], scores["tc"])
    return *(number(share, 2) for share in shares), number(scores["ms_per_frame"], 1)


def per_class_cells(scores: Scores) -> tuple[str, ...]:
    """IoU of each class; a dash where a class does not occur."""
    return tuple(number(value, 1) for value in scores["per_class"])


def terminal(rows: Mapping[str, Scores]) -> str:
    """The table for a terminal, in columns."""
    head = ("", "IoU", "IoU at edges (2 px)", "consistency", "ms a frame")
    lines = [head, *((name, *cells(scores)) for name, scores in rows.items())]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    texts = [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    ]
    return "\n".join([texts[0], "─" * len(texts[0]), *texts[1:]])


def markdown(rows: Mapping[str, Scores], classes: Sequence[str]) -> str:
    """The table and the one per class, in Markdown."""
    return "\n".join(
        [
            markdown_table(("", *COLUMNS), [(name, *cells(scores)) for name, scores in rows.items()]),
            "",
            "IoU of each class:",
            "",
            markdown_table(("", *classes), [(name, *per_class_cells(scores)) for name, scores in rows.items()]),
            "",
        ]
    )


def as_json(rows: Mapping[str, Scores], classes: Sequence[str]) -> dict[str, Any]:
    """The rows as plain values, rounded to what can be told apart; null where a measure does not apply."""
    return {
        name: {
            "miou": _rounded(scores["miou"]),
            "per_class": dict(zip(classes, map(_rounded, scores["per_class"]), strict=True)),
            "tiou": {str(width): _rounded(value) for width, value in scores["tiou"].items()},
            "tc": _rounded(scores["tc"]),
            "frames": scores["frames"],
            "ms_per_frame": _rounded(scores["ms_per_frame"]),
        }
        for name, scores in rows.items()
    }


def _rounded(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None
