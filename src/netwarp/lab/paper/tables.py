"""From units to the numbers of a table's lines: means over seeds, and what they are above the base and the control."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from netwarp.lab.output import markdown_table
from netwarp.lab.paper.lines import Line
from netwarp.lab.study.store import Figures
from netwarp.lab.study.summary import Spread, differences, jackknife

__all__ = [
    "MEASURES",
    "Result",
    "csv_text",
    "markdown_text",
    "noise_of",
    "paper_gain",
    "results_of",
    "seed_error",
    "signed",
    "verdicts",
]

MEASURES: dict[str, Callable[[Figures], float]] = {
    "IoU": lambda figures: figures.miou,
    "tIoU": lambda figures: figures.tiou[2],
    "iIoU": lambda figures: figures.iiou,
    "tc": lambda figures: figures.tc,
}
"""What the paper's tables have, and temporal consistency; percent."""


@dataclass(frozen=True)
class Result:
    """What came out for a line.

    Attributes:
        line: The line.
        scores: Of :data:`MEASURES`; empty where nothing is measured.
        to_base: Differences to the network frame by frame, likewise.
        to_control: Differences to the control that was tested alike, likewise, seed by seed.
        milliseconds: Median time of a frame; nan where it was not taken.
        slowdown: The same, of the network frame by frame.
        noise: What chance moves the difference in IoU to the base by (:func:`noise_of`), points; nan where not known.
        control_noise: Likewise that to the control.
    """

    line: Line
    scores: dict[str, Spread]
    to_base: dict[str, Spread]
    to_control: dict[str, Spread]
    milliseconds: float = math.nan
    slowdown: float = math.nan
    noise: float = math.nan
    control_noise: float = math.nan


def results_of(
    lines: Sequence[Line], figures: Sequence[Figures], milliseconds: Mapping[str, float] | None = None
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
    result: Result, of: Mapping[str, Sequence[Figures]], controls: Mapping[str, str], by_seed: float
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


def _left_out(figures: Sequence[Figures]) -> dict[str, float]:
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


EMPTY = ""
_IN_PAPER = ("IoU", "tIoU", "iIoU")


def markdown_text(results: Sequence[Result]) -> str:
    """The table in Markdown, without columns in which nothing stands."""
    columns: dict[str, Callable[[Result], str]] = {
        **{name: partial(_score, name) for name in MEASURES},
        "ms a frame": _time,
        **{f"{name} − base": partial(_difference, name, "to_base") for name in MEASURES},
        "noise": lambda result: f"{result.noise:.2f}" if math.isfinite(result.noise) else EMPTY,
        **{f"{name} − control": partial(_difference, name, "to_control") for name in ("IoU", "tIoU")},
        **{f"paper: {name}": partial(_published, name.lower()) for name in _IN_PAPER},
        "paper: runtime": _runtime,
        **{f"paper: {name} − base": partial(_gain, name, results) for name in _IN_PAPER},
    }
    table = {name: [cell(result) for result in results] for name, cell in columns.items()}
    table = {name: cells for name, cells in table.items() if any(cells)}
    rows = [[result.line.name, *(cells[i] for cells in table.values())] for i, result in enumerate(results)]
    return markdown_table(("", *table), rows)


def csv_text(results: Sequence[Result]) -> str:
    """The same as CSV: numbers in full, empty where there is none."""
    head = ["line", "kind"]
    head += [f"{name.lower()}{end}" for name in MEASURES for end in ("", "_sd")]
    head += ["seeds", "ms_per_frame", "times_base"]
    head += [f"{name.lower()}_minus_{other}{end}"
             for other in ("base", "control") for name in MEASURES for end in ("", "_sd")]  # fmt: skip
    head += ["noise", "control_noise", "paper_iou", "paper_tiou", "paper_iiou", "paper_runtime", "paper_iou_minus_base"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    for result in results:
        paper = result.line.paper
        cells: list[object] = [result.line.name, result.line.kind]
        cells += [value for name in MEASURES for value in _pair(result.scores.get(name))]
        cells += [result.scores["IoU"].count if result.scores else None]
        cells += [_finite(result.milliseconds), _finite(result.slowdown)]
        for which in (result.to_base, result.to_control):
            cells += [value for name in MEASURES for value in _pair(which.get(name))]
        cells += [_finite(result.noise), _finite(result.control_noise)]
        cells += [paper.iou, paper.tiou, paper.iiou, paper.runtime] if paper else [None] * 4
        cells += [_finite(paper_gain(results, result).get("IoU", math.nan))]
        writer.writerow(["" if cell is None else cell for cell in cells])
    return text.getvalue()


def signed(value: float, digits: int = 2) -> str:
    """A difference with its sign.

    >>> signed(-0.5), signed(0.25), signed(-0.001)
    ('−0.50', '+0.25', '+0.00')
    """
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")


def _score(measure: str, result: Result) -> str:
    spread = result.scores.get(measure)
    if spread is None or not math.isfinite(spread.mean):
        return EMPTY
    return f"{spread.mean:.2f}" + (f" ± {spread.deviation:.2f}" if math.isfinite(spread.deviation) else "")


def _difference(measure: str, other: Literal["to_base", "to_control"], result: Result) -> str:
    spread = (result.to_base if other == "to_base" else result.to_control).get(measure)
    return EMPTY if spread is None or not math.isfinite(spread.mean) else signed(spread.mean)


def _time(result: Result) -> str:
    if not math.isfinite(result.milliseconds):
        return EMPTY
    return f"{result.milliseconds:.1f} ({result.slowdown:.3f} ×)"


def _published(what: str, result: Result) -> str:
    value = None if result.line.paper is None else getattr(result.line.paper, what)
    return EMPTY if value is None else f"{value:.1f}"


def _runtime(result: Result) -> str:
    return EMPTY if result.line.paper is None else result.line.paper.runtime or EMPTY


def _gain(measure: str, results: Sequence[Result], result: Result) -> str:
    value = paper_gain(results, result).get(measure)
    return EMPTY if value is None else signed(value, 1)


def _pair(spread: Spread | None) -> list[float | None]:
    return [None, None] if spread is None else [_finite(spread.mean), _finite(spread.deviation)]


def _finite(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


MANY = 4
"""Lines from which on it is said that they are many."""

BEYOND = 0.05
"""Share of differences that chance alone puts beyond twice their standard error."""


def verdicts(results: Sequence[Result]) -> list[str]:
    """Sentences on IoU: how large the noise is, then what is below the base, then what is below the control."""
    netwarps = [result for result in results if result.line.kind == "netwarp" and result.to_base]
    if not netwarps:
        return []
    said = [_noise(results, netwarps)]
    if len(netwarps) >= MANY and any(math.isfinite(r.noise) for r in netwarps):
        said.append(
            f"{len(netwarps)} lines are compared at once: where none differed at all, chance alone would put about "
            f"{BEYOND * len(netwarps):.1f} of them beyond their noise, so that one that is says little."
        )
    gains = [(r.line.name, r.to_base["IoU"].mean, r.noise) for r in netwarps]
    said.append(_against(gains, "the network frame by frame"))
    controlled = [r for r in netwarps if r.to_control]
    if controlled:
        gains = [(r.line.name, r.to_control["IoU"].mean, r.control_noise) for r in controlled]
        said.append(_against(gains, "the control, trained alike without video,"))
    return said


def _noise(results: Sequence[Result], netwarps: Sequence[Result]) -> str:
    noise = [result.noise for result in netwarps if math.isfinite(result.noise)]
    if not noise:
        return "Noise is not known: that takes two seeds, or two clips to test on. Every difference counts below."
    trained = [result for result in results if result.to_base]
    by_seed = seed_error(results)
    sources = ["of the choice of the clips that are tested on (jackknife, line by line)"]
    if math.isfinite(by_seed):
        seeds = min(result.scores["IoU"].count for result in trained)
        sources.insert(
            0, f"of chance in training ({by_seed:.2f}: {seeds} seeds, their deviation pooled over {len(trained)} lines)"
        )
    alone = "" if math.isfinite(by_seed) else " Chance in training is not in it, as there is one seed."
    span = f"{min(noise):.2f}" if len(noise) == 1 else f"{min(noise):.2f} to {max(noise):.2f}"
    return (
        f"Noise is twice the standard error of a difference in IoU, {span} points here, {' and '.join(sources)}.{alone}"
    )


def _against(gains: Sequence[tuple[str, float, float]], other: str) -> str:
    limits = [(name, gain, noise if math.isfinite(noise) else 0.0) for name, gain, noise in gains]
    known = any(math.isfinite(noise) for _, _, noise in gains)
    beyond = "by more than noise" if known else "at all"
    worse = [f"{name} ({gain:+.2f})".replace("-", "−") for name, gain, limit in limits if gain < -limit]
    better = sum(gain > limit for _, gain, limit in limits)
    above = sum(gain > 0 for _, gain, _ in limits)
    counts = (
        f"Of {len(limits)}, {above} are above it, {better} of them {beyond}."
        if len(limits) > 1
        else (f"It is {'above' if above else 'not above'} it{f', {beyond}' if better and known else ''}.")
    )
    if not worse:
        return f"No NetWarp is worse than {other} {beyond}. {counts}"
    return f"Worse than {other} {beyond}: {'; '.join(worse)}. {counts}"
