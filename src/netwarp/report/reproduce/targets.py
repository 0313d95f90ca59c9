"""What can be reproduced: with which networks, from which lines, and what is made of them. Here is where to add one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from netwarp.report.reproduce import lines
from netwarp.report.reproduce.class_table import (
    class_lines,
    csv_classes,
    draw_classes,
    markdown_classes,
    summary_of_classes,
)
from netwarp.report.reproduce.figures import make_crops, make_curves, make_flows
from netwarp.report.reproduce.gain_picture import draw_gains
from netwarp.report.reproduce.lines import Line
from netwarp.report.reproduce.results import results_of
from netwarp.report.reproduce.setups import NETWORKS, Setup
from netwarp.report.reproduce.table_text import csv_text, markdown_text
from netwarp.report.reproduce.verdicts import verdicts
from netwarp.report.reproduce.work import Made, Work

__all__ = ["TARGETS", "Target"]

_PERCENT = (
    "Percent, mean ± standard deviation over seeds; tIoU is IoU within 2 pixels of label changes, tc temporal "
    "consistency along DIS-medium flow."
)
_TIMES = (
    "ms a frame are medians of models that took turns, flow included, on this machine; the paper's are of a Titan X."
)


@dataclass(frozen=True)
class Target:
    """A table or figure of the paper.

    Attributes:
        title: What it shows.
        networks: Names of the networks that it can be made with, the paper's first.
        lines: From the setup, whether the data's true flow is known, and RAFT as a flow or None, to its lines.
        make: From what was measured, and where the picture goes, to the rest.
        caption: What is to be known about its numbers.
        timed: Whether running times are taken.
    """

    title: str
    networks: tuple[str, ...]
    lines: Callable[[Setup, bool, str | None], list[Line]]
    make: Callable[[Work, Path], Made]
    caption: str
    timed: bool = False


def _make_table(work: Work, path: Path) -> Made:
    results = results_of(work.lines, work.figures, work.milliseconds)
    draw_gains(results, work.title, path)
    return Made(markdown_text(results), csv_text(results), verdicts(results))


def _make_classes(work: Work, path: Path) -> Made:
    base, netwarp = work.pair()
    table = class_lines(work.of(base), work.of(netwarp))
    draw_classes(table, work.title, path)
    return Made(markdown_classes(table), csv_classes(table), summary_of_classes(table))


def _best(setup: Setup, *_: object) -> list[Line]:
    """The paper's final model alone."""
    return lines.final_model(setup)


_ANY = ("pspnet101", "playdata", "dilation8", "dilation10")
_VGG_FIRST = ("playdata", "pspnet101", "dilation8", "dilation10")
assert set(_ANY) == set(NETWORKS)

TARGETS: dict[str, Target] = {
    "table1": Target(
        "Table 1: NetWarp at nine places in PlayData-CNN",
        ("playdata",),
        lambda setup, *_: lines.table1(setup),
        _make_table,
        _PERCENT + " The paper's numbers: CamVid test.",
    ),
    "table2": Target(
        "Table 2: PlayData-CNN, NetWarp with other flow",
        ("playdata",),
        lambda setup, true_flow, raft: lines.table2(setup, true_flow=true_flow, raft=raft),
        _make_table,
        f"{_PERCENT} {_TIMES} The paper's numbers: CamVid test.",
        timed=True,
    ),
    "table3": Target(
        "Table 3: Dilation-CNN with NetWarp at its context layers",
        ("dilation8", "dilation10"),
        lambda setup, *_: lines.table3(setup),
        _make_table,
        f"{_PERCENT} {_TIMES} The paper's numbers: CamVid test.",
        timed=True,
    ),
    "table4": Target(
        "Table 4: PSPNet, single scale and multi-scale",
        ("pspnet101",),
        lambda setup, *_: lines.table4(setup),
        _make_table,
        f"{_PERCENT} iIoU weighs objects by their size. {_TIMES} The paper's numbers: Cityscapes val.",
        timed=True,
    ),
    "table5": Target(
        "Table 5: every class, multi-scale",
        ("pspnet101",),
        lambda setup, *_: lines.multi_scale(setup),
        _make_classes,
        "IoU in percent, mean over seeds. The paper's numbers: Cityscapes test.",
    ),
    "fig4": Target(
        "Figure 4: relative gain in tIoU by the width of the trimap",
        _ANY,
        lambda setup, *_: lines.table4(setup),
        make_curves,
        "Gain in percent of what the network has frame by frame, mean over seeds.",
    ),
    "fig5": Target(
        "Figure 5: flow before and after FlowCNN",
        _VGG_FIRST,
        _best,
        make_flows,
        "Lengths in pixels of the frame, means over it.",
    ),
    "fig6": Target(
        "Figure 6: frame, truth, frame by frame, NetWarp",
        _ANY,
        lambda setup, *_: lines.multi_scale(setup),
        make_crops,
        "First seed.",
    ),
}
"""By the name of the command's argument."""
