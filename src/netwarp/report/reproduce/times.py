"""Running times of a table's rows: taken in turn, and taken once on a machine."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from netwarp.data.clips import Clip, ClipData
from netwarp.engine.evaluate import evaluate
from netwarp.report.benchmark.machine import machine
from netwarp.report.experiment.bench import Bench
from netwarp.report.experiment.build import build, shown_as
from netwarp.report.experiment.identity import key_of
from netwarp.report.experiment.rows import Row
from netwarp.report.experiment.units import Store
from netwarp.report.experiment.written import write_text

__all__ = ["times_of"]

DIGITS = 3
"""Of a millisecond."""


def times_of(rows: Sequence[Row], bench: Bench, frames: int, store: Store) -> dict[str, float]:
    """Median milliseconds of a frame by row, of models that took turns; weights make no difference to it.

    What was taken on this machine, with as many threads, is not taken again.

    Args:
        rows: What is timed; controls are not.
        bench: Data and network.
        frames: How many of the first test clip are run; the first, which has no past, does not count.
        store: Where times are kept.

    Raises:
        NetWarpError: A model cannot be built or run, or the times cannot be kept.
    """
    timed = [row for row in rows if not row.control]
    settings = {row.name: row.settings() for row in timed}
    key = key_of({"of": store.identity, "rows": settings, "frames": frames, "machine": machine(bench.plan.device)})
    path = store.folder / f"times-{key}.json"
    kept = _kept(path, settings)
    if kept is not None:
        return kept
    models = {row.name: build(row, bench.base) for row in timed}
    try:
        shown = {row.name: shown_as(row, models[row.name]) for row in timed}
        scores = evaluate(shown, _first_frames(bench.folds[0].test, frames), windows=())
    finally:
        for model in models.values():
            model.remove()
    times = {name: round(score.ms_per_frame, DIGITS) for name, score in scores.items()}
    write_text(path, json.dumps(times))
    return times


def _kept(path: Path, names: Iterable[str]) -> dict[str, float] | None:
    """Times that were taken; None where there are none, or the file is damaged."""
    try:
        times = {str(name): float(value) for name, value in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return times if set(times) == set(names) and all(0 < t < math.inf for t in times.values()) else None


def _first_frames(data: ClipData, frames: int) -> ClipData:
    clip = data.clips[0]
    return replace(data, clips=(Clip(clip.name, clip.frames[:frames]),))
