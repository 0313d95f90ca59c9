"""Training of video models on labelled clips: the same however often it is interrupted (docs/training.md).

Names are imported when they are first used: settings are read without torch, and Lightning only by who trains.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netwarp.training.logs import StepRecord, TrainResult
    from netwarp.training.losses import class_weights
    from netwarp.training.process_state import Interrupted
    from netwarp.training.settings import Consistency, Rates, TrainSettings
    from netwarp.training.train import train

_HOMES = {
    "Consistency": "settings",
    "Interrupted": "process_state",
    "Rates": "settings",
    "StepRecord": "logs",
    "TrainResult": "logs",
    "TrainSettings": "settings",
    "class_weights": "losses",
    "train": "train",
}

__all__ = [
    "Consistency",
    "Interrupted",
    "Rates",
    "StepRecord",
    "TrainResult",
    "TrainSettings",
    "class_weights",
    "train",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
