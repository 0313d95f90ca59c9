"""How well a model does while it is trained: as a stream over validation clips."""

from __future__ import annotations

from netwarp.datasets.clips import ClipData
from netwarp.errors import ConfigurationError
from netwarp.evaluation.evaluate import evaluate
from netwarp.model import VideoModel
from netwarp.training.logs import ValidationScores

TIOU_WIDTH = 2


def check_validation(data: ClipData, monitor: str) -> None:
    """See that there will be a score."""
    if monitor == "tc":
        if not any(len(clip.frames) > 1 for clip in data.clips):
            raise ConfigurationError(f"{data.name} has no clip of two frames to measure tc on")
    elif not any(frame.labels for clip in data.clips for frame in clip.frames):
        raise ConfigurationError(f"{data.name} has no labelled frame to measure {monitor} on")


def validate(model: VideoModel, data: ClipData) -> ValidationScores:
    """Score a model as it is, in evaluation mode; a call of all processes, each of which takes some of the clips.

    Of clips with few labels only those frames are run that a labelled one, or the one before it, depends on: as many
    as there are layers. A fused memory goes back to the beginning.
    """
    training = model.training
    history = len(model.layers) + 1 if model.memory == "previous" else None
    if not any(frame.labels for clip in data.clips for frame in clip.frames):
        history = None
    try:
        scores = evaluate({"model": model}, data, widths=(TIOU_WIDTH,), windows=(), history=history)["model"]
    finally:
        model.train(training)
    return ValidationScores(scores["miou"], scores["tiou"][TIOU_WIDTH], scores["tc"])
