"""The experiment's figures as one JSON document, and in words what they are."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from netwarp._version import __version__
from netwarp.lab.output import markdown_table
from netwarp.lab.study.rows import BASE
from netwarp.lab.study.store import FORMAT, UnitScores
from netwarp.lab.study.study_context import StudyContext
from netwarp.lab.study.summary import MEASURES, Spread, Summary, relative_gain

HEAD = ("", "IoU", "tIoU, 2 px", "tc", "ms a frame", "IoU − control", "tIoU − control", "tc − control")


def experiment_table(summaries: Sequence[Summary]) -> str:
    """Means ± standard deviations over seeds and folds, and behind them those of the differences to the control."""
    return markdown_table(HEAD, [_cells(summary) for summary in summaries])


def _cells(summary: Summary) -> list[str]:
    scores = [_spread(summary.scores[name], signed=False) for name in MEASURES]
    differences = [_spread(summary.to_control[name], signed=True) if summary.to_control else "" for name in MEASURES]
    return [summary.row.name, *scores, _time(summary), *differences]


def _spread(spread: Spread, *, signed: bool) -> str:
    if not math.isfinite(spread.mean):
        return "–"
    mean = f"{spread.mean:+.2f}".replace("-", "−") if signed else f"{spread.mean:.2f}"
    return f"{mean} ± {spread.deviation:.2f}" if math.isfinite(spread.deviation) else mean


def _time(summary: Summary) -> str:
    if not math.isfinite(summary.milliseconds):
        return "–"
    return f"{summary.milliseconds:.1f} ({summary.slowdown:.2f} ×)"


def document(
    context: StudyContext,
    settings: Mapping[str, Any],
    summaries: Sequence[Summary],
    figures: Sequence[UnitScores],
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """All that was measured, as plain values; percent, and null where a measure does not apply."""
    return {
        "format": FORMAT,
        "netwarp": __version__,
        "data": context.data.name,
        "base": context.inputs.base,
        "folds": [{"train": _half(fold.train), "test": _half(fold.test)} for fold in context.folds],
        "settings": dict(settings),
        "rows": [_row(summary, figures) for summary in summaries],
        "units": [unit.as_json(digits=4) for unit in figures],
        "seconds": {stage: round(value, 1) for stage, value in seconds.items()},
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "device": context.inputs.device,
            "threads_for_times": torch.get_num_threads(),
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
    }


def _half(data: Any) -> dict[str, Any]:  # noqa: ANN401
    names = [frame.name for clip in data.clips for frame in clip.frames if frame.labels is not None]
    return {"pairs": len(names), "from": names[0], "to": names[-1]}


def _row(summary: Summary, figures: Sequence[UnitScores]) -> dict[str, Any]:
    of = [f for f in figures if f.row == summary.row.name]
    base = [f for f in figures if f.row == BASE]
    return {
        "name": summary.row.name,
        "control": summary.row.against or None,
        "settings": summary.row.settings(),
        "trained_parameters": of[0].parameters if of else None,
        **{name: spread.as_json() for name, spread in summary.scores.items()},
        "minus_control": {name: spread.as_json() for name, spread in summary.to_control.items()},
        "minus_frame_by_frame": {name: spread.as_json() for name, spread in summary.to_base.items()},
        "relative_tiou_gain": {str(width): gain.as_json() for width, gain in relative_gain(of, base).items()},
        "per_class": {
            name: Spread.of([f.per_class[name] for f in of]).as_json() for name in (of[0].per_class if of else ())
        },
        "ms_per_frame": round(summary.milliseconds, 2) if math.isfinite(summary.milliseconds) else None,
        "times_frame_by_frame": round(summary.slowdown, 3) if math.isfinite(summary.slowdown) else None,
    }


def spread_over(seeds: int) -> str:
    """What means and deviations are taken over.

    >>> spread_over(3), spread_over(1)
    ('two folds and 3 seeds', 'two folds')
    """
    return "two folds" + (f" and {seeds} seeds" if seeds > 1 else "")


def caption(context: StudyContext, seeds: int) -> str:
    """What the table shows."""
    pairs = [len(fold.train.samples()) for fold in context.folds]
    return (
        f"{context.data.name}, {context.inputs.base}. Trained on one half of the labelled pairs ({pairs[0]} and "
        f"{pairs[1]}) and tested on the other, as a stream, both ways. Mean ± standard deviation over "
        f"{spread_over(seeds)}; as the "
        "halves differ, differences are taken fold by fold and seed by seed. A control is trained as long on the same "
        "labels, with the same parameters of the network, and with NetWarps at the same places whose w2 is held at 0. "
        "Percent; tIoU is IoU within 2 pixels of label changes, tc temporal consistency along DIS-medium flow; ms a "
        "frame are medians of models that took turns, flow included."
    )


def where_time_went(figures: Sequence[UnitScores], seconds: Mapping[str, float]) -> str:
    """How long the stages took, in words; what was done in an earlier run counts with the units."""
    stages = sorted({stage for f in figures for stage in f.seconds})
    parts = [f"{stage} {sum(f.seconds.get(stage, 0.0) for f in figures):.0f} s" for stage in stages]
    whole = [f"{stage} {value:.0f} s" for stage, value in seconds.items()]
    return f"{' · '.join(whole)}; {len(figures)} units, summed over processes: {', '.join(parts)}"
