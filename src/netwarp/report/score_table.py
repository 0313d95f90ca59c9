"""Scores for a terminal and as JSON: whatever was measured, and no column for what was not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from netwarp.engine.tally import Scores

__all__ = ["class_table", "score_record", "score_table"]


def score_table(rows: Mapping[str, Scores]) -> str:
    """A line for each row, a column for each measure that applies to one of them.

    Args:
        rows: Scores by name, at least one.
    """
    columns = [("IoU", [scores.miou for scores in rows.values()], 2)]
    first = next(iter(rows.values()))
    columns += [(f"tIoU {w} px", [scores.tiou[w] for scores in rows.values()], 2) for w in first.tiou]
    columns.append(("iIoU", [scores.iiou for scores in rows.values()], 2))
    columns.append(("consistency", [scores.tc for scores in rows.values()], 2))
    columns += [(f"VC{length}", [scores.vc[length] for scores in rows.values()], 2) for length in first.vc]
    columns.append(("ms a frame", [scores.ms_per_frame for scores in rows.values()], 1))
    shown = [columns[0], *(column for column in columns[1:] if any(map(math.isfinite, column[1])))]
    lines = [["", *(head for head, _, _ in shown)]]
    lines += [[name, *(_number(values[i], digits) for _, values, digits in shown)] for i, name in enumerate(rows)]
    return _aligned(lines)


def class_table(rows: Mapping[str, Scores], classes: Sequence[str]) -> str:
    """A line for each class, with its IoU in each row, and its instance IoU where objects are known.

    Args:
        rows: Scores by name, at least one.
        classes: Names of the classes.
    """
    objects = any(math.isfinite(scores.iiou) for scores in rows.values())
    columns = [(f"IoU, {name}" if len(rows) > 1 else "IoU", scores.per_class) for name, scores in rows.items()]
    if objects:
        columns += [
            (f"iIoU, {name}" if len(rows) > 1 else "iIoU", scores.iiou_per_class or (math.nan,) * len(classes))
            for name, scores in rows.items()
        ]
    lines = [["class", *(head for head, _ in columns)]]
    lines += [[name, *(_number(values[i], 2) for _, values in columns)] for i, name in enumerate(classes)]
    return _aligned(lines)


def score_record(scores: Scores, classes: Sequence[str]) -> dict[str, Any]:
    """Scores as plain values, in percent, rounded to what can be told apart; None where a measure does not apply.

    Args:
        scores: The scores.
        classes: Names of the classes.
    """
    return {
        "miou": _rounded(scores.miou),
        "per_class": dict(zip(classes, map(_rounded, scores.per_class), strict=True)),
        "tiou": {str(width): _rounded(value) for width, value in scores.tiou.items()},
        "iiou": _rounded(scores.iiou),
        "iiou_per_class": dict(zip(classes, map(_rounded, scores.iiou_per_class), strict=False)),
        "tc": _rounded(scores.tc),
        "vc": {str(length): _rounded(value) for length, value in scores.vc.items()},
        "frames": scores.frames,
        "ms_per_frame": _rounded(scores.ms_per_frame),
    }


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    texts = [
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    ]
    return "\n".join([texts[0], "─" * len(texts[0]), *texts[1:]])


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"


def _rounded(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None
