"""What the demo's numbers say, in words that follow from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from netwarp.evaluation.scores import Scores
from netwarp.lab.output import markdown_table

__all__ = [
    "BASE",
    "COLUMNS",
    "CONTROL",
    "FREE",
    "NETWARP",
    "as_json",
    "cells",
    "markdown",
    "per_class_cells",
    "terminal",
    "verdict",
]

COLUMNS = ("IoU", "IoU within 2 px of label changes", "Temporal consistency", "ms a frame")
"""Percent, percent, percent, milliseconds (median, flow included)."""

WIDTH = 2


def cells(scores: Scores) -> tuple[str, ...]:
    """A row of the table, one text for each of :data:`COLUMNS`."""
    return (
        _number(scores["miou"], 2),
        _number(scores["tiou"][WIDTH], 2),
        _number(scores["tc"], 2),
        _number(scores["ms_per_frame"], 1),
    )


def per_class_cells(scores: Scores) -> tuple[str, ...]:
    """IoU of each class; a dash where a class does not occur."""
    return tuple(_number(value, 1) for value in scores["per_class"])


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


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"


def _rounded(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None


BASE, CONTROL, FREE, NETWARP = "Frame by frame", "Control", "Training-free", "NetWarp"
"""The rows of the table."""

CLEAR, NOTICEABLE = 0.5, 0.1
"""Percent points from which a difference in IoU is called clear, and below which it is called none."""


def verdict(rows: Mapping[str, Scores], classes: Sequence[str]) -> list[str]:
    """Say what the table shows, the unwelcome included."""
    base, control, free, warped = (rows[name] for name in (BASE, CONTROL, FREE, NETWARP))
    milliseconds = warped["ms_per_frame"] - base["ms_per_frame"]
    sentences = [
        f"Against the network frame by frame, NetWarp changes IoU by {_points(warped['miou'] - base['miou'])}, IoU "
        f"near label changes by {_points(warped['tiou'][WIDTH] - base['tiou'][WIDTH])} and temporal consistency by "
        f"{_points(warped['tc'] - base['tc'])}, for {milliseconds:.1f} ms more a frame.",
        _against_control(warped, control, base),
        f"Without any training, averaging along the flow changes IoU by {_points(free['miou'] - base['miou'])}, IoU "
        f"near label changes by {_points(free['tiou'][WIDTH] - base['tiou'][WIDTH])} and consistency by "
        f"{_points(free['tc'] - base['tc'])}. {_against_free(warped, free)}",
    ]
    changes = sorted(
        (after - before, name)
        for name, before, after in zip(classes, base["per_class"], warped["per_class"], strict=True)
        if math.isfinite(after - before)
    )
    if changes:
        (loss, loser), (gain, winner) = changes[0], changes[-1]
        sentences.append(
            f"By class, frame by frame to NetWarp: from {_points(loss)} ({loser}) to {_points(gain)} ({winner})."
        )
    return sentences


def _against_control(warped: Scores, control: Scores, base: Scores) -> str:
    """Whether it was the video, or only more training."""
    iou, edges, consistency = (
        warped["miou"] - control["miou"], warped["tiou"][WIDTH] - control["tiou"][WIDTH], warped["tc"] - control["tc"],
    )  # fmt: skip
    training = (
        f"The control, trained as long but without a memory, moves IoU by {_points(control['miou'] - base['miou'])}"
    )
    rest = f"near label changes the difference is {_points(edges)}, in consistency {_points(consistency)}"
    if iou >= CLEAR and min(edges, consistency) > -NOTICEABLE:
        return f"{training}; NetWarp is clearly better than it, by {_points(iou)}, which is owed to video; {rest}."
    if iou >= CLEAR:
        return f"{training}; NetWarp is better than it in IoU, by {_points(iou)}, but not throughout: {rest}."
    if iou >= NOTICEABLE:
        return f"{training}; NetWarp is a little better than it, by {_points(iou)}; {rest}."
    if iou > -NOTICEABLE:
        return (
            f"{training}. NetWarp does not beat it in IoU ({_points(iou)}): what this run gains in IoU comes from "
            f"training and not from video; {rest}."
        )
    return f"{training}. NetWarp is worse than it in IoU ({_points(iou)}); {rest}."


def _against_free(warped: Scores, free: Scores) -> str:
    """What training NetWarp for this short time was worth."""
    differences = {
        "IoU": warped["miou"] - free["miou"],
        "IoU near label changes": warped["tiou"][WIDTH] - free["tiou"][WIDTH],
        "consistency": warped["tc"] - free["tc"],
    }
    ahead = [name for name, difference in differences.items() if difference >= NOTICEABLE]
    behind = [name for name, difference in differences.items() if difference <= -NOTICEABLE]
    if not ahead:
        return "What NetWarp learned in the short training of this demo is not better than that."
    also = f", and behind in {' and '.join(behind)}" if behind else ""
    return f"NetWarp, after the short training of this demo, is ahead of that in {' and '.join(ahead)}{also}."


def _points(difference: float) -> str:
    """A difference of percentages with its sign.

    >>> _points(0.5), _points(-1.0), _points(0.0)
    ('+0.50', '−1.00', '±0.00')
    """
    if not math.isfinite(difference):
        return "an unknown amount"
    if abs(difference) < 0.005:
        return "±0.00"
    return f"{'+' if difference > 0 else '−'}{abs(difference):.2f}"
