"""Table 5: every class of the multi-scale models, the paper's beside ours, thin ones marked."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from netwarp.lab.output import markdown_table, new_figure, number, save_figure
from netwarp.lab.paper.published import CITYSCAPES_CLASSES, TABLE5
from netwarp.lab.study.figures import COLOURS
from netwarp.lab.study.store import UnitScores

if TYPE_CHECKING:
    from pandas import DataFrame

THIN = ("pole", "sign", "traffic sign", "traffic light")
"""Which classes the paper calls thin structures (section 4.2)."""

_CITYSCAPES_NAME = {
    "pavement": "sidewalk", "tree": "vegetation", "sign": "traffic sign", "pedestrian": "person", "bicyclist": "rider",
}  # fmt: skip
"""CamVid's names for what Cityscapes calls otherwise."""

_BASE, _NETWARP = TABLE5["PSPNet-MSc"], TABLE5["PSPNet-MSc + NetWarp"]


@dataclass(frozen=True)
class ClassLine:
    """A class, or their mean; percent, nan where it does not occur or has no objects."""

    name: str  # of the class
    thin: bool  # whether the paper calls it a thin structure
    base: float  # IoU of the network frame by frame
    netwarp: float  # IoU with NetWarp, mean over seeds
    base_objects: float  # iIoU of the network frame by frame
    netwarp_objects: float  # iIoU with NetWarp
    # the paper's IoU without and with NetWarp; None for classes that Cityscapes does not have
    paper: tuple[float, float] | None


def class_lines(base: Sequence[UnitScores], netwarp: Sequence[UnitScores]) -> list[ClassLine]:
    """A line for the mean, and one for each class."""
    lines = [
        ClassLine(
            "mean", False,
            _mean([f.miou for f in base]), _mean([f.miou for f in netwarp]),
            _mean([f.iiou for f in base]), _mean([f.iiou for f in netwarp]),
            (_BASE.iou, _NETWARP.iou),
        )
    ]  # fmt: skip
    for name in base[0].per_class:
        known = _CITYSCAPES_NAME.get(name, name)
        place = CITYSCAPES_CLASSES.index(known) if known in CITYSCAPES_CLASSES else None
        ious = [_mean([f.per_class[name] for f in of]) for of in (base, netwarp)]
        objects = [_mean([f.iiou_per_class.get(name, math.nan) for f in of]) for of in (base, netwarp)]
        paper = None if place is None else (_BASE.per_class[place], _NETWARP.per_class[place])
        lines.append(ClassLine(name, name in THIN, ious[0], ious[1], objects[0], objects[1], paper))
    return [lines[0], _group("thin classes", lines[1:], True), _group("other classes", lines[1:], False), *lines[1:]]


def _group(name: str, lines: Sequence[ClassLine], thin: bool) -> ClassLine:
    """The mean of the thin classes, or of the others; the paper's over all of its 19 classes."""
    group = [line for line in lines if line.thin == thin]
    published = [
        statistics.fmean(
            v for known, v in zip(CITYSCAPES_CLASSES, row.per_class, strict=True) if (known in THIN) == thin
        )
        for row in (_BASE, _NETWARP)
    ]
    return ClassLine(
        name, False,
        _mean([line.base for line in group]), _mean([line.netwarp for line in group]),
        _mean([line.base_objects for line in group]), _mean([line.netwarp_objects for line in group]),
        (published[0], published[1]),
    )  # fmt: skip


def markdown_classes(lines: Sequence[ClassLine]) -> str:
    """The table in Markdown; thin classes in bold."""
    head = ["", "frame by frame", "NetWarp", "gain"]
    objects = any(math.isfinite(line.base_objects) for line in lines)
    head += ["iIoU: frame by frame", "iIoU: NetWarp", "iIoU: gain"] if objects else []
    head += ["paper: PSPNet-MSc", "paper: + NetWarp", "paper: gain"]
    rows = []
    for line in lines:
        cells = [f"**{line.name}** (thin)" if line.thin else line.name, *_three(line.base, line.netwarp, 2)]
        cells += _three(line.base_objects, line.netwarp_objects, 2) if objects else []
        rows.append([*cells, *(_three(*line.paper, 1) if line.paper else ["", "", ""])])
    return markdown_table(head, rows)


def classes_table(lines: Sequence[ClassLine]) -> DataFrame:
    """The same with numbers in full, and the other methods of the paper's table."""
    import pandas as pd

    others = {name: published for name, published in TABLE5.items() if not name.startswith("PSPNet")}
    rows = []
    for line in lines:
        paper = line.paper or (math.nan, math.nan)
        row = {
            "class": line.name, "thin": int(line.thin), "iou_base": line.base, "iou_netwarp": line.netwarp,
            "iiou_base": line.base_objects, "iiou_netwarp": line.netwarp_objects,
            "paper_iou_base": paper[0], "paper_iou_netwarp": paper[1],
        }  # fmt: skip
        known = _CITYSCAPES_NAME.get(line.name, line.name)
        for name, published in others.items():
            per_class = dict(zip(CITYSCAPES_CLASSES, published.per_class, strict=True)) | {"mean": published.iou}
            row[f"paper_iou_{name}"] = per_class.get(known, math.nan)
        rows.append(row)
    return pd.DataFrame(rows)


def draw_classes(lines: Sequence[ClassLine], title: str, path: Path) -> None:
    """Draw each class's gain in IoU, here and in the paper."""
    figure = new_figure(7.5, 1.4 + 0.3 * len(lines))
    figure.suptitle(title, fontsize=10)
    axes = figure.add_subplot()
    axes.axvline(0, color="0.4", linewidth=1)
    for place, line in enumerate(lines):
        gain = line.netwarp - line.base
        if math.isfinite(gain):
            colour = COLOURS[2] if line.thin else COLOURS[0]
            axes.barh(place, gain, height=0.6, color=colour, label="NetWarp, thin class" if line.thin else "NetWarp")
        if line.paper:
            axes.plot(line.paper[1] - line.paper[0], place, "D", color=COLOURS[1], markerfacecolor="white",
                      markersize=5, zorder=3, label="paper (Cityscapes test)")  # fmt: skip
    names = [
        f"{line.name} ({line.base:.1f})" if math.isfinite(line.base) else f"{line.name} (none here)" for line in lines
    ]
    axes.set_yticks(range(len(lines)), names, fontsize=8)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_xlabel("gain in IoU over frame by frame (points); in brackets the IoU frame by frame", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    save_figure(figure, path)


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return statistics.fmean(finite) if finite else math.nan


def _three(before: float, after: float, digits: int) -> list[str]:
    return [number(before, digits), number(after, digits), number(after - before, digits, signed=True)]
