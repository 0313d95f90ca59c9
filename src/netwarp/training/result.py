"""What came out of a training, as a file, and in what it differs from the paper's."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from netwarp._version import __version__
from netwarp.flow import spec_of
from netwarp.model import VideoModel
from netwarp.model.netwarp import NetWarp
from netwarp.output_files import write_file
from netwarp.training.logs import TrainResult
from netwarp.training.settings import TrainSettings


def beyond_paper(model: VideoModel, settings: TrainSettings, length: int) -> dict[str, Any]:
    """Every option that differs from the paper's section 3.1: two frames, Eq. 3 from (1, 0), DIS, the paper's Λ."""
    if not model.layers:
        return {"layers": "none: frame by frame"}
    starts = {(float(n.w1.mean()), float(n.w2.mean())) for n in model.netwarps if isinstance(n, NetWarp)}
    spec = spec_of(model.flow) or type(model.flow).__name__
    options = {
        "length": (length, length == 2),
        "start": ([list(start) for start in sorted(starts)], starts == {(1.0, 0.0)}),
        "memory": (model.memory, model.memory == "previous"),
        "gate": (None if model.gate is None else repr(model.gate), model.gate is None),
        "flow": (spec, str(spec).startswith("dis")),
        "flow_cnn": (_flow_cnn(model), _flow_cnn(model) == ["paper", 1, "gaussian"]),
        "consistency": (settings.consistency.weight, not settings.consistency.weight),
        "unlabelled": (settings.consistency.unlabelled, not settings.consistency.unlabelled),
        "detach_past": (settings.detach_past, not settings.detach_past),
        "keyframes": (settings.keyframes, not settings.keyframes),
        "train_base": (_trained(model), _trained(model) == "all"),
        "log_probs": (True, "log_probs" not in model.layers),
    }
    return {name: value for name, (value, as_in_paper) in options.items() if not as_in_paper}


def _flow_cnn(model: VideoModel) -> list[Any] | None:
    cnn = model.flow_cnn
    return None if cnn is None else [cnn.variant, cnn.stride, cnn.start]


def _trained(model: VideoModel) -> str:
    required = [parameter.requires_grad for parameter in model.base.parameters()]
    return "all" if all(required) else "part" if any(required) else "none"


LAST = 100
"""Steps that the final loss is averaged over."""


def write_result(path: Path, result: TrainResult, settings: TrainSettings, caller: Mapping[str, Any]) -> None:
    """Write what came out, and what else the caller wants said; nan becomes null."""
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
    text = json.dumps(_without_nan(content), indent=2)
    write_file(path, f"{text}\n", "free space, and give the command again")


def _without_nan(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, Mapping):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
