"""``result.json``: what is to be said about a training."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from netwarp import __version__
from netwarp.atomic import written_whole
from netwarp.engine.training.records import TrainResult
from netwarp.engine.training.settings import TrainSettings

__all__ = ["write_result"]

LAST = 100
"""Steps that the final loss is averaged over."""


def write_result(path: Path, result: TrainResult, settings: TrainSettings, caller: Mapping[str, Any]) -> None:
    """Write it; nan becomes null.

    Args:
        path: The file.
        result: What came out.
        settings: Of the training.
        caller: What else the caller wants said.

    Raises:
        OutputError: It cannot be written.
    """
    losses = result.losses[-LAST:]
    scores = [(record.step, record.scores) for record in result.records if record.scores is not None]
    content = {
        "steps": result.steps,
        "stopped_early": result.stopped_early,
        "kept": result.kept,
        "beyond_paper": result.beyond_paper,
        "loss": sum(losses) / len(losses) if losses else None,
        "best": None if result.best is None else {"step": result.best.step, settings.monitor: result.best.score},
        "validation": [{"step": step, **asdict(s)} for step, s in scores],
        "seconds": round(result.seconds, 1),
        "training": asdict(settings),
        **caller,
        "netwarp": __version__,
    }
    with written_whole(path, "free space, and give the command again") as file:
        file.write((json.dumps(_without_nan(content), indent=2) + "\n").encode())


def _without_nan(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, Mapping):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
