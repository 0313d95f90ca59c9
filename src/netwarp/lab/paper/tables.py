"""The numbers of a table's lines: means over seeds, and differences to the base and the control with their noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from netwarp.lab.output import markdown_table, number
from netwarp.lab.paper.lines import Line
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


@dataclass(frozen=True)
class Result:
    """What came out for a line."""

    line: Line  # the line
    scores: dict[str, Spread]  # of MEASURES; empty where nothing is measured
    to_base: dict[str, Spread]  # differences to the network frame by frame, likewise
    to_control: dict[str, Spread]  # differences to the control that was tested alike, likewise, seed by seed
    milliseconds: float = math.nan  # median time of a frame; nan where it was not taken
    slowdown: float = math.nan  # in times of the network frame by frame
    # what chance moves the difference in IoU to the base by (noise_of), points; nan where not known
    noise: float = math.nan
    control_noise: float = math.nan  # what chance moves the difference in IoU to the control by, points


def results_of(
    lines: Sequence[Line], figures: Sequence[UnitScores], milliseconds: Mapping[str, float] | None = None
) -> list[Result]:
    """A result for each line."""
    times = milliseconds or {}
    of = {line.row.name: [f for f in figures if f.row == line.row.name] for line in lines if line.row is not None}
    controls = {line.base: line.row.name for line in lines if line.kind == "control" and line.row is not None}
    results: list[Result] = []
    for line in lines:
        if line.row is None:
            results.append(Result(line, {}, {}, {}))
            continue
        own = of[line.row.name]
        control = controls.get(line.base, "") if line.kind != "control" else ""
        time = times.get(line.row.name, math.nan)
        results.append(
            Result(
                line,
                {name: Spread.of([measure(f) for f in own]) for name, measure in MEASURES.items()},
                differences(own, of[line.base], MEASURES) if line.base else {},
                differences(own, of[control], MEASURES) if control else {},
                time,
                time / times.get(line.base or line.row.name, math.nan),
            )
        )
    by_seed = seed_error(results)
    return [_with_noise(result, of, controls, by_seed) for result in results]


def _with_noise(
    result: Result, of: Mapping[str, Sequence[UnitScores]], controls: Mapping[str, str], by_seed: float
) -> Result:
    if result.line.row is None or not result.line.base:
        return result
    own = of[result.line.row.name]
    noise = noise_of(by_seed, jackknife(_left_out(own), _left_out(of[result.line.base])))
    if not result.to_control:
        return replace(result, noise=noise)
    by_clip = jackknife(_left_out(own), _left_out(of[controls[result.line.base]]))
    # Both are trained.
    return replace(result, noise=noise, control_noise=noise_of(math.sqrt(2) * by_seed, by_clip))


def _left_out(figures: Sequence[UnitScores]) -> dict[str, float]:
    """Mean IoU without a clip, mean over seeds, by the clip's name."""
    return {clip: Spread.of([f.left_out.get(clip, math.nan) for f in figures]).mean for clip in figures[0].left_out}


def seed_error(results: Sequence[Result]) -> float:
    """Standard error of a line's mean IoU over its seeds.

    The deviation is pooled over all lines that are trained, as a line has only a few seeds.
    """
    spreads = [result.scores["IoU"] for result in results if result.to_base]
    spreads = [spread for spread in spreads if math.isfinite(spread.deviation)]
    if not spreads:
        return math.nan
    freedom = sum(spread.count - 1 for spread in spreads)
    variance = sum((spread.count - 1) * spread.deviation**2 for spread in spreads) / freedom
    return math.sqrt(variance / min(spread.count for spread in spreads))


def noise_of(by_seed: float, by_clip: float) -> float:
    """Twice the standard error of a difference, by chance in training and by the choice of the clips tested on.

    >>> noise_of(0.3, 0.4), noise_of(float("nan"), 0.4)
    (1.0, 0.8)
    """
    known = [error for error in (by_seed, by_clip) if math.isfinite(error)]
    return 2 * math.hypot(*known) if known else math.nan


def paper_gain(results: Sequence[Result], of: Result) -> dict[str, float]:
    """What the paper reports over its own base, in points, by measure; nothing where it does not."""
    base = next((r.line.paper for r in results if r.line.kind == "base" and _own(r.line) == of.line.base), None)
    paper = of.line.paper
    if paper is None or base is None:
        return {}
    pairs = {"IoU": (paper.iou, base.iou), "tIoU": (paper.tiou, base.tiou), "iIoU": (paper.iiou, base.iiou)}
    return {name: new - old for name, (new, old) in pairs.items() if new is not None and old is not None}


def _own(line: Line) -> str:
    return "" if line.row is None else line.row.name


PAPER = ("iou", "tiou", "iiou", "runtime")


def table_of(results: Sequence[Result]) -> DataFrame:
    """A row for each line, numbers in full; NaN where there is none. Its columns are those of the CSV."""
    import pandas as pd

    table = pd.DataFrame([_numbers(result, paper_gain(results, result)) for result in results])
    table["seeds"] = table["seeds"].astype("Int64")
    return table.infer_objects()


def _numbers(result: Result, gains: Mapping[str, float]) -> dict[str, Any]:
    numbers: dict[str, Any] = {"line": result.line.name, "kind": result.line.kind}
    numbers |= _spreads(result.scores, "")
    numbers["seeds"] = result.scores["IoU"].count if result.scores else None
    numbers |= {"ms_per_frame": result.milliseconds, "times_base": result.slowdown}
    numbers |= _spreads(result.to_base, "_minus_base") | _spreads(result.to_control, "_minus_control")
    numbers |= {"noise": result.noise, "control_noise": result.control_noise}
    numbers |= {f"paper_{name}": getattr(result.line.paper, name, None) for name in PAPER}
    return numbers | {f"paper_{name.lower()}_minus_base": gains.get(name, math.nan) for name in ("IoU", "tIoU", "iIoU")}


def _spreads(spreads: Mapping[str, Spread], ending: str) -> dict[str, float]:
    none = Spread(math.nan, math.nan, 0)
    found = {f"{name.lower()}{ending}": spreads.get(name, none) for name in MEASURES}
    return {f"{name}{end}": value for name, s in found.items() for end, value in (("", s.mean), ("_sd", s.deviation))}


def markdown_text(table: DataFrame) -> str:
    """The table in Markdown, without columns in which nothing stands."""
    published = {name: f"paper_{name.lower()}" for name in ("IoU", "tIoU", "iIoU")}
    columns: dict[str, Callable[[Any], str]] = {
        **{name: partial(_mean_and_deviation, name.lower()) for name in MEASURES},
        "ms a frame": lambda row: _filled("{:.1f} ({:.3f} ×)", row.ms_per_frame, row.times_base),
        **{f"{name} − base": partial(_signed, f"{name.lower()}_minus_base", 2) for name in MEASURES},
        "noise": lambda row: _filled("{:.2f}", row.noise),
        **{f"{name} − control": partial(_signed, f"{name.lower()}_minus_control", 2) for name in ("IoU", "tIoU")},
        **{f"paper: {name}": partial(_published, column) for name, column in published.items()},
        "paper: runtime": lambda row: row.paper_runtime if isinstance(row.paper_runtime, str) else "",
        **{f"paper: {name} − base": partial(_signed, f"{column}_minus_base", 1) for name, column in published.items()},
    }
    rows = list(table.itertuples())
    cells = {name: [cell(row) for row in rows] for name, cell in columns.items()}
    cells = {name: texts for name, texts in cells.items() if any(texts)}
    return markdown_table(("", *cells), [(row.line, *(c[i] for c in cells.values())) for i, row in enumerate(rows)])


def _filled(form: str, *values: float) -> str:
    return form.format(*values) if all(map(math.isfinite, values)) else ""


def _mean_and_deviation(name: str, row: Any) -> str:  # noqa: ANN401
    mean, deviation = getattr(row, name), getattr(row, f"{name}_sd")
    return _filled("{:.2f} ± {:.2f}", mean, deviation) or _filled("{:.2f}", mean)


def _signed(name: str, digits: int, row: Any) -> str:  # noqa: ANN401
    value = getattr(row, name)
    return number(value, digits, signed=True) if math.isfinite(value) else ""


def _published(name: str, row: Any) -> str:  # noqa: ANN401
    value = getattr(row, name)
    return "" if value is None else _filled("{:.1f}", value)
