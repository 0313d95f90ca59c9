"""Figures 4, 5 and 6 out of what was measured: the picture, and its numbers as a table."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

from netwarp.report.experiment.build import build
from netwarp.report.experiment.crops import draw_crops
from netwarp.report.experiment.curve import Curve, draw_gain_curves
from netwarp.report.experiment.maps import shown_clips
from netwarp.report.experiment.row_training import train_row
from netwarp.report.experiment.summary import Spread, relative_gain
from netwarp.report.experiment.units import Unit
from netwarp.report.reproduce.flow_figure import csv_flows, draw_flows, flows_shown, markdown_flows, summary_of_flows
from netwarp.report.reproduce.paper import RELATIVE_GAIN
from netwarp.report.reproduce.table_text import signed
from netwarp.report.reproduce.work import Made, Work
from netwarp.report.table import markdown_table

__all__ = ["make_crops", "make_curves", "make_flows"]

TOLD = (1, 2, 3, 4, 5, 8, 10, 15, 20)
"""Widths that the table of Figure 4 has; the CSV has all."""


def make_curves(work: Work, path: Path) -> Made:
    """Figure 4: the relative gain in tIoU by the width of the trimap, and in IoU over whole frames."""
    gains: dict[str, dict[int, Spread]] = {}
    whole: dict[str, float] = {}
    for line in work.lines:
        if line.kind == "base" or line.row is None:
            continue
        base = [f for f in work.figures if f.row == line.base]
        own = work.of(line.row)
        gains[line.name] = relative_gain(own, base)
        whole[line.name] = 100 * (Spread.of([f.miou for f in own]).mean / base[0].miou - 1)
    controls = {line.name for line in work.lines if line.kind == "control"}
    published = {name: None if name in controls else _published(name) for name in gains}
    curves = [
        Curve(name, {width: gain.mean for width, gain in by_width.items()}, control=name in controls)
        for name, by_width in gains.items()
    ]
    points = {name: (2, value) for name, value in published.items() if value is not None}
    draw_gain_curves(curves, work.title, path, points=points)
    head = ["", *(f"{width} px" for width in TOLD), "whole frame", "paper: 2 px"]
    rows = [
        [
            name,
            *(signed(by_width[width].mean, 1) + " %" for width in TOLD),
            signed(whole[name], 1) + " %",
            "" if published[name] is None else signed(published[name] or 0.0, 1) + " %",
        ]
        for name, by_width in gains.items()
    ]
    return Made(markdown_table(head, rows), _curves_csv(gains, published), [_where_largest(gains, whole)])


def _published(name: str) -> float | None:
    return next((gain.tiou for which, gain in RELATIVE_GAIN.items() if f"-{which}" in name), None)


def _curves_csv(gains: dict[str, dict[int, Spread]], published: dict[str, float | None]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["line", "width_px", "relative_tiou_gain_percent", "sd", "paper"])
    for name, by_width in gains.items():
        for width, gain in by_width.items():
            paper = published[name] if width == 2 else None
            numbers = (gain.mean, gain.deviation, paper)
            writer.writerow([name, width, *("" if v is None or not math.isfinite(v) else round(v, 4) for v in numbers)])
    return text.getvalue()


def _where_largest(gains: dict[str, dict[int, Spread]], whole: dict[str, float]) -> str:
    parts = []
    for name, by_width in gains.items():
        near = Spread.of([by_width[width].mean for width in (1, 2, 3)]).mean
        parts.append(f"{name}: {signed(near, 1)} % within 1 to 3 pixels, {signed(whole[name], 1)} % over whole frames")
    single, multi = RELATIVE_GAIN["SSc"], RELATIVE_GAIN["MSc"]
    return (
        f"{'; '.join(parts)}. The paper finds most improvement close to label changes ({single.tiou:.1f} % within "
        f"2 pixels and {single.iou:.1f} % over whole frames single scale, {multi.tiou:.1f} % and {multi.iou:.1f} % "
        "multi-scale, by its Table 4)."
    )


def make_flows(work: Work, path: Path) -> Made:
    """Figure 5: flow before and after FlowCNN, of the model of the first seed."""
    row = next(line.row for line in work.lines if line.kind == "netwarp" and line.row is not None)
    bench, fold = work.bench, work.bench.folds[0]
    model = build(row, bench.base, 0)
    try:
        train_row(
            model, row, fold, 0, device=bench.plan.device, cache=bench.plan.cache / "flow", replay=True,
            folder=work.store.training(Unit(row, 0, 0)),
        )  # fmt: skip
        shown = flows_shown(model, fold.test)
    finally:
        model.remove()
    draw_flows(shown, work.title, path)
    return Made(markdown_flows(shown), csv_flows(shown), summary_of_flows(shown))


def make_crops(work: Work, path: Path) -> Made:
    """Figure 6 (and 3): places where labels differ most, gains and losses."""
    base, netwarp = work.pair()
    maps = [work.store.pictures(Unit(row, 0, 0)) for row in (base, netwarp)]
    clips = shown_clips(work.bench.folds[0].test, *maps)
    choice = draw_crops(clips, work.bench.data.classes, netwarp.name, path, title=work.title, share=2)
    head = ("place", "frame", "x", "y", "correct pixels, NetWarp − frame by frame")
    rows = [
        (str(number + 1), clips[place.clip].names[place.frame], str(place.left), str(place.top), signed(gain, 0))
        for number, (place, gain) in enumerate(choice.places)
    ]
    said = (
        f"Windows of {choice.window[1]}×{choice.window[0]} pixels, chosen by counting alone: NetWarp has more correct "
        f"pixels in {choice.better}, fewer in {choice.worse}, as many in {choice.same}."
    )
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    return Made(markdown_table(head, rows), text.getvalue(), [said])
