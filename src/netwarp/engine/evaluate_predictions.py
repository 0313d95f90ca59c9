"""Label maps made elsewhere, scored as a model's are."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from netwarp.data.clips import Clip, ClipData
from netwarp.data.predictions import Predictions
from netwarp.engine.evaluate import CONSISTENCY_FLOW
from netwarp.engine.measure import Row, Work, measure
from netwarp.engine.processes import fail_together
from netwarp.engine.shown import CPU, Shown
from netwarp.engine.tally import Measures, Scores
from netwarp.errors import InputError
from netwarp.flow import FlowEstimator, make_flow

__all__ = ["evaluate_predictions"]

_ROW = "predictions"


def evaluate_predictions(
    predictions: Predictions,
    data: ClipData,
    *,
    widths: tuple[int, ...] = (2,),
    windows: tuple[int, ...] = (8, 16),
    average_sizes: Mapping[int, float] | None = None,
    consistency_flow: str | FlowEstimator = CONSISTENCY_FLOW,
    workers: int = 1,
    on_frame: Callable[[], None] | None = None,
) -> Scores:
    """Score label maps. Frames follow each other where all between them have one.

    Args:
        predictions: The label maps.
        data: What they are of.
        widths: As for :func:`netwarp.engine.evaluate.evaluate`, as is the rest.
        windows: See there.
        average_sizes: See there.
        consistency_flow: See there.
        workers: See there.
        on_frame: See there.

    Returns:
        Scores, without a time.

    Raises:
        ConfigurationError: There is no frame, or a number is out of range.
        InputError: Label maps cannot be used (the first is named, all are counted), or a frame or its labels cannot.
    """

    def runs(clip: Clip) -> list[range]:
        return _runs([position for position, frame in enumerate(clip.frames) if frame.name in predictions.files])

    work = Work(
        data,
        runs,
        lambda: {_ROW: _PredictedRow(predictions)},
        Measures(len(data.classes), widths, windows, average_sizes),
        make_flow(consistency_flow),
        on_frame,
    )
    scores = measure(work, workers)[_ROW]
    failure: InputError | None = None
    try:
        predictions.check()
    except InputError as error:
        failure = error
    fail_together(failure)
    return scores


def _runs(positions: list[int]) -> list[range]:
    runs: list[range] = []
    for position in positions:
        first = runs.pop().start if runs and runs[-1].stop == position else position
        runs.append(range(first, position + 1))
    return runs


class _PredictedRow(Row):
    def __init__(self, predictions: Predictions) -> None:
        self._predictions = predictions

    def start(self) -> None:
        pass

    def label(self, shown: Shown) -> tuple[Tensor, None]:
        # What is labelled is compared with labels: the frame itself, much larger a file, need not be read.
        if shown.labels is not None:
            height, width = shown.labels.shape
        else:
            height, width = shown.image(CPU).shape[2:]
        labels = self._predictions.read(shown.frame.name, (height, width))
        return torch.from_numpy(labels.astype(np.int64))[None], None
