"""Tables 1 to 4: means over seeds, and differences to the base and the control with their noise; CSV, Markdown, PNG."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netwarp.lab.output import EMPTY, markdown_table, new_figure, number, save_figure
from netwarp.lab.paper.lines import Line
from netwarp.lab.paper.published import UNPUBLISHED
from netwarp.lab.study.figures import COLOURS
from netwarp.lab.study.store import UnitScores
from netwarp.lab.study.summary import Spread, differences, jackknife

if TYPE_CHECKING:
    from pandas import DataFrame

MEASURES: dict[str, Callable[[UnitScores], float]] = {
    "IoU": lambda figures: figures.miou,
    "tIoU": lambda figures: figures.tiou[2],
    "iIoU": lambda figures: figures.iiou,
    "tc": lambda figures: figures.tc,
}
"""What the paper's tables have, and temporal consistency; percent."""

PUBLISHED = ("IoU", "tIoU", "iIoU")
"""Of these, what the paper has."""


def table_of(
    lines: Sequence[Line], figures: Sequence[UnitScores], milliseconds: Mapping[str, float] | None = None
) -> DataFrame:
    """A row for each line, numbers in full; NaN where there is none. Its columns are those of the CSV.

    ``milliseconds`` are the median times of a frame by row. Noise is in IoU: what chance moves a difference by.
    """
    import pandas as pd

    times = milliseconds or {}
    of = {line.row.name: [f for f in figures if f.row == line.row.name] for line in lines if line.row is not None}
    of[""] = []  # what a line is compared with where there is nothing
    controls = {line.base: line.measured for line in lines if line.kind == "control"}
    published = {line.measured: line.paper for line in lines if line.kind == "base"}
    by_seed = seed_error([of[line.measured] for line in lines if line.base])
    rows = []
    for line in lines:
        own, base, paper = of[line.measured], of[line.base], line.paper
        control = of["" if line.kind == "control" else controls.get(line.base, "")]
        time = times.get(line.measured, math.nan)
        row: dict[str, Any] = {"line": line.name, "kind": line.kind}
        row |= _columns({name: Spread.of([read(f) for f in own]) for name, read in MEASURES.items()}, "")
        row |= {"seeds": len(own) or None, "ms_per_frame": time}
        row["times_base"] = time / times.get(line.base or line.measured, math.nan)
        row |= _columns(differences(own, base, MEASURES), "_minus_base")
        row |= _columns(differences(own, control, MEASURES), "_minus_control")
        trained = line.row is not None and line.row.trains
        row["noise"] = noise_of(by_seed if trained else math.nan, _by_clip(own, base)) if base else math.nan
        both = math.sqrt(2) * by_seed if trained else by_seed  # the control is trained
        row["control_noise"] = noise_of(both, _by_clip(own, control)) if control else math.nan
        row |= {f"paper_{name}": getattr(paper, name) for name in ("iou", "tiou", "iiou", "runtime")}
        before = published.get(line.base, UNPUBLISHED) if line.base else UNPUBLISHED
        for name in map(str.lower, PUBLISHED):
            row[f"paper_{name}_minus_base"] = getattr(paper, name) - getattr(before, name)
        rows.append(row)
    return pd.DataFrame(rows).astype({"seeds": "Int64"})


def _columns(spreads: Mapping[str, Spread], ending: str) -> dict[str, float]:
    names = {f"{name.lower()}{ending}": spread for name, spread in spreads.items()}
    return {f"{name}{end}": value for name, s in names.items() for end, value in (("", s.mean), ("_sd", s.deviation))}


def _by_clip(one: Sequence[UnitScores], other: Sequence[UnitScores]) -> float:
    """Standard error of a difference in mean IoU, mean over seeds, by which clips were tested on."""
    without = [
        {clip: Spread.of([f.left_out.get(clip, math.nan) for f in figures]).mean for clip in figures[0].left_out}
        for figures in (one, other)
    ]
    return jackknife(*without)


def seed_error(trained: Sequence[Sequence[UnitScores]]) -> float:
    """Standard error of a line's mean IoU over its seeds.

    The deviation is pooled over all lines that are trained, as a line has only a few seeds.
    """
    spreads = [spread for of in trained if math.isfinite((spread := Spread.of([f.miou for f in of])).deviation)]
    if not spreads:
        return math.nan
    variance = sum((s.count - 1) * s.deviation**2 for s in spreads) / sum(s.count - 1 for s in spreads)
    return math.sqrt(variance / min(spread.count for spread in spreads))


def noise_of(by_seed: float, by_clip: float) -> float:
    """Twice the standard error of a difference, by chance in training and by the choice of the clips tested on.

    >>> noise_of(0.3, 0.4), noise_of(float("nan"), 0.4)
    (1.0, 0.8)
    """
    known = [error for error in (by_seed, by_clip) if math.isfinite(error)]
    return 2 * math.hypot(*known) if known else math.nan


def markdown_text(table: DataFrame) -> str:
    """The table in Markdown, without columns in which nothing stands."""
    columns: dict[str, list[str]] = {}
    for name in MEASURES:
        pairs = zip(table[name.lower()], table[f"{name.lower()}_sd"], strict=True)
        columns[name] = [_cell(mean, 2) + (f" ± {_cell(sd, 2)}" if math.isfinite(sd) else "") for mean, sd in pairs]
    pairs = zip(table["ms_per_frame"], table["times_base"], strict=True)
    columns["ms a frame"] = [f"{_cell(t, 1)} ({_cell(s, 3)} ×)" if math.isfinite(t) else "" for t, s in pairs]
    columns |= {f"{name} − base": _gains(table[f"{name.lower()}_minus_base"], 2) for name in MEASURES}
    columns["noise"] = [_cell(value, 2) for value in table["noise"]]
    columns |= {f"{name} − control": _gains(table[f"{name.lower()}_minus_control"], 2) for name in ("IoU", "tIoU")}
    columns |= {f"paper: {name}": [_cell(value, 1) for value in table[f"paper_{name.lower()}"]] for name in PUBLISHED}
    columns["paper: runtime"] = list(table["paper_runtime"])
    columns |= {f"paper: {name} − base": _gains(table[f"paper_{name.lower()}_minus_base"], 1) for name in PUBLISHED}
    filled = {name: texts for name, texts in columns.items() if any(texts)}
    return markdown_table(("", *filled), list(zip(table["line"], *filled.values(), strict=True)))


def _gains(values: Any, digits: int) -> list[str]:  # noqa: ANN401
    return [_cell(value, digits, signed=True) for value in values]


def _cell(value: float, digits: int, *, signed: bool = False) -> str:
    return number(value, digits, signed=signed).replace(EMPTY, "")


_MARKS = {
    "netwarp": ("NetWarp", "o", COLOURS[0]),
    "control": ("control", "s", "0.45"),
    "baseline": ("no NetWarp", "^", COLOURS[2]),
}


def draw_gains(table: DataFrame, title: str, path: Path) -> None:
    """Draw gains in IoU, tIoU and iIoU, as far as they are known, with the noise in IoU as a band around 0."""
    shown = table[table.filter(regex="_minus_base$").notna().any(axis=1)]
    measures = [name for name in PUBLISHED if shown[f"{name.lower()}_minus_base"].notna().any()]
    figure = new_figure(3.2 + 2.6 * max(len(measures), 1), 1.6 + 0.27 * max(len(shown), 1))
    figure.suptitle(title, fontsize=10)
    panels = figure.subplots(1, max(len(measures), 1), sharey=True, squeeze=False)[0]
    for axes, measure in zip(panels, measures, strict=False):
        axes.axvline(0, color="0.4", linewidth=1)
        for place, line in enumerate(shown.to_dict("records")):
            _draw_gain(axes, place, line, measure)
        axes.set_xlabel(f"gain in {measure} over\nframe by frame (points)", fontsize=8)
        axes.tick_params(axis="x", labelsize=8)
        axes.grid(axis="y", color="0.93")
        axes.set_axisbelow(True)
    draw_names(figure, panels[0], list(shown["line"]))
    save_figure(figure, path)


def _draw_gain(axes: Any, place: int, line: Mapping[Any, Any], measure: str) -> None:  # noqa: ANN401
    gain, deviation, published = (
        line[name.format(measure.lower())] for name in ("{}_minus_base", "{}_minus_base_sd", "paper_{}_minus_base")
    )
    if measure == "IoU" and math.isfinite(line["noise"]):
        axes.barh(place, 2 * line["noise"], left=-line["noise"], height=0.8, color="0.92", label="noise")
    if math.isfinite(gain):
        label, mark, colour = _MARKS[line["kind"]]
        spread = deviation if math.isfinite(deviation) else None
        axes.errorbar(gain, place, xerr=spread, fmt=mark, color=colour, markersize=5, linewidth=1.2, label=label)
    if math.isfinite(published):
        axes.plot(published, place, "D", color=COLOURS[1], markerfacecolor="none", markersize=5, label="paper")


def draw_names(figure: Any, axes: Any, names: Sequence[str]) -> None:  # noqa: ANN401
    """Name the lines of a chart from top to bottom, and what is drawn once each in a legend below."""
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(len(names) - 0.5, -0.5)
    for each in figure.axes:
        each.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=5, frameon=False, fontsize=8)
