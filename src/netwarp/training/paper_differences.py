"""What of a training is not the paper's."""

from __future__ import annotations

from typing import Any

from netwarp.flow import spec_of
from netwarp.model import VideoModel
from netwarp.model.netwarp import NetWarp
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
