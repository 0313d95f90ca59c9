"""Table 5: every class of the multi-scale models, the paper's beside ours, thin ones marked; CSV, Markdown, PNG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from netwarp.lab.output import markdown_table, new_figure, number, save_figure
from netwarp.lab.paper.published import TABLE5
from netwarp.lab.paper.tables import draw_names
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
    for measure, mean, per_class in (("iou", "miou", "per_class"), ("iiou", "iiou", "iiou_per_class")):
        for which, figures in (("base", base), ("netwarp", netwarp)):
            classes[f"{measure}_{which}"] = pd.DataFrame([getattr(f, per_class) for f in figures], dtype=float).mean()
            means[f"{measure}_{which}"] = pd.Series([getattr(f, mean) for f in figures]).mean()
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
    """The table in Markdown; thin classes in bold."""
    columns = {"": ["iou_base", "iou_netwarp"]}
    columns |= {"iIoU: ": ["iiou_base", "iiou_netwarp"]} if table["iiou_base"].notna().any() else {}
    head = [f"{measure}{name}" for measure in columns for name in ("frame by frame", "NetWarp", "gain")]
    rows = []
    for line in table.to_dict("records"):
        cells = [f"**{line['class']}** (thin)" if line["thin"] else line["class"]]
        for names in columns.values():
            cells += _three(*(line[name] for name in names), digits=2)
        rows.append([*cells, *_three(line["paper_iou_base"], line["paper_iou_netwarp"], digits=1)])
    return markdown_table(["", *head, "paper: PSPNet-MSc", "paper: + NetWarp", "paper: gain"], rows)


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
