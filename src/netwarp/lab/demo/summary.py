"""The demo's table in Markdown; on the terminal and in JSON it is that of ``netwarp evaluate``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


def markdown(rows: Mapping[str, Scores], classes: Sequence[str]) -> str:
    """The table and the one per class, in Markdown."""
    table, per_class = [], []
    for name, scores in rows.items():
        shares = (scores["miou"], scores["tiou"][WIDTH], scores["tc"])
        table.append([name, *(number(share, 2) for share in shares), number(scores["ms_per_frame"], 1)])
        per_class.append([name, *(number(value, 1) for value in scores["per_class"])])
    tables = markdown_table(("", *COLUMNS), table), markdown_table(("", *classes), per_class)
    return "{}\n\nIoU of each class:\n\n{}\n".format(*tables)
