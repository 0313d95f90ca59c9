"""Table 5: every class of the multi-scale models, the paper's beside ours, thin ones marked; CSV, Markdown, PNG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from netwarp.lab.output import markdown_table, new_figure, number, save_figure
from netwarp.lab.paper.published import CITYSCAPES_CLASSES, TABLE5
from netwarp.lab.paper.tables import draw_names
from netwarp.lab.study.figures import COLOURS
from netwarp.lab.study.store import UnitScores

if TYPE_CHECKING:
    from pandas import DataFrame

THIN = ("pole", "sign", "traffic sign", "traffic light")
"""Which classes the paper calls thin structures (section 4.2)."""

_GROUPS = 3
"""Lines before the first class: the mean of all, of thin ones, and of the others."""

_CITYSCAPES_NAME = {
    "pavement": "sidewalk", "tree": "vegetation", "sign": "traffic sign", "pedestrian": "person", "bicyclist": "rider",
}  # fmt: skip
"""CamVid's names for what Cityscapes calls otherwise."""

_MEASURES: dict[str, tuple[Callable[[UnitScores], float], str]] = {
    "iou": (lambda scores: scores.miou, "per_class"),
    "tiou": (lambda scores: scores.tiou.get(2, math.nan), "tiou_per_class"),
    "iiou": (lambda scores: scores.iiou, "iiou_per_class"),
}
"""How the mean over classes and each class are read."""

_PAPER = {name: {"PSPNet-MSc": "base", "PSPNet-MSc + NetWarp": "netwarp"}.get(name, name) for name in TABLE5}
"""The paper's methods as the columns of the CSV have them."""


def classes_table(base: Sequence[UnitScores], netwarp: Sequence[UnitScores]) -> DataFrame:
    """A row for the mean, for thin classes and for the others, and for each class; percent, means over seeds.

    NaN where a class does not occur or has no objects, and for classes that Cityscapes does not have. The paper's
    means are over all of its 19 classes.
    """
    import pandas as pd

    names = list(base[0].per_class)
    classes = pd.DataFrame({"thin": [int(name in THIN) for name in names]}, index=names)
    means: dict[str, float] = {"thin": 0}
    for measure, (mean, per_class) in _MEASURES.items():
        for which, figures in (("base", base), ("netwarp", netwarp)):
            classes[f"{measure}_{which}"] = pd.DataFrame([getattr(f, per_class) for f in figures], dtype=float).mean()
            means[f"{measure}_{which}"] = pd.Series([mean(f) for f in figures], dtype=float).mean()
    published = pd.DataFrame({f"paper_iou_{_PAPER[name]}": row.per_class for name, row in TABLE5.items()})
    means |= {f"paper_iou_{_PAPER[name]}": row.iou for name, row in TABLE5.items()}
    beside = published.reindex([_CITYSCAPES_NAME.get(name, name) for name in names]).set_axis(names)
    groups = {"mean": pd.Series(means)}
    for name, thin in (("thin classes", 1), ("other classes", 0)):
        ours, theirs = classes[classes["thin"] == thin], published[published.index.isin(THIN) == bool(thin)]
        groups[name] = pd.concat([ours.mean(), theirs.mean()])
        groups[name]["thin"] = 0
    table = pd.concat([pd.DataFrame(groups).T, classes.join(beside)])
    return table.astype({"thin": int}).rename_axis("class").reset_index()


def markdown_classes(table: DataFrame) -> str:
    """The table in Markdown, thin classes in bold; and below it that of the paper, a row for each of its methods."""
    columns = {"": ["iou_base", "iou_netwarp"]}
    for measure in ("tIoU", "iIoU"):
        names = [f"{measure.lower()}_{which}" for which in ("base", "netwarp")]
        # Of work that was kept from before tIoU was counted by class, the mean alone is known.
        columns |= {f"{measure}: ": names} if table[names[0]].notna().sum() > 1 else {}
    head = [f"{measure}{name}" for measure in columns for name in ("frame by frame", "NetWarp", "gain")]
    rows = []
    for line in table.to_dict("records"):
        cells = [f"**{line['class']}** (thin)" if line["thin"] else line["class"]]
        for names in columns.values():
            cells += _three(*(line[name] for name in names), digits=2)
        rows.append([*cells, *_three(line["paper_iou_base"], line["paper_iou_netwarp"], digits=1)])
    ours = markdown_table(["", *head, "paper: PSPNet-MSc", "paper: + NetWarp", "paper: gain"], rows)
    published = [
        (name, *(f"{value:.1f}" for value in (row.iiou, row.iou, *row.per_class.values())))
        for name, row in TABLE5.items()
    ]
    return f"{ours}\n\n{markdown_table(('paper', 'iIoU', 'IoU', *CITYSCAPES_CLASSES), published)}"


def better_classes(table: DataFrame) -> list[str]:
    """In how many classes NetWarp is above the network frame by frame, by measure, beside what the paper says."""
    without, with_netwarp = (TABLE5[name].per_class for name in ("PSPNet-MSc", "PSPNet-MSc + NetWarp"))
    above = sum(with_netwarp[name] > without[name] for name in CITYSCAPES_CLASSES)
    counted = []
    for measure, published in (("IoU", f"{above} of 19"), ("tIoU", "17 of 19"), ("iIoU", "7 of 8")):  # section 4.2
        before, after = (table[f"{measure.lower()}_{which}"][_GROUPS:] for which in ("base", "netwarp"))
        known = (before.notna() & after.notna()).sum()
        if known:
            ours = f"{(after > before).sum()} of {known}"
            counted.append(f"{measure}: above frame by frame in {ours} classes; in the paper in {published}.")
    return counted


def _three(before: float, after: float, *, digits: int) -> list[str]:
    return [number(before, digits), number(after, digits), number(after - before, digits, signed=True)]


def draw_classes(table: DataFrame, title: str, path: Path) -> None:
    """Draw each class's gain in IoU, here and in the paper."""
    figure = new_figure(7.5, 1.4 + 0.3 * len(table))
    figure.suptitle(title, fontsize=10)
    axes = figure.add_subplot()
    axes.axvline(0, color="0.4", linewidth=1)
    names = []
    for place, line in enumerate(table.to_dict("records")):
        found = math.isfinite(line["iou_base"])
        names.append(f"{line['class']} ({line['iou_base']:.1f})" if found else f"{line['class']} (none here)")
        colour, label = (COLOURS[2], "NetWarp, thin class") if line["thin"] else (COLOURS[0], "NetWarp")
        axes.barh(place, line["iou_netwarp"] - line["iou_base"], height=0.6, color=colour, label=label)
        axes.plot(line["paper_iou_netwarp"] - line["paper_iou_base"], place, "D", color=COLOURS[1],
                  markerfacecolor="white", markersize=5, zorder=3, label="paper (Cityscapes test)")  # fmt: skip
    axes.set_xlabel("gain in IoU over frame by frame (points); in brackets the IoU frame by frame", fontsize=8)
    draw_names(figure, axes, names)
    save_figure(figure, path)
