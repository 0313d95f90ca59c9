"""Video models against labels: several at once, frame by frame in turn, so that their times can be compared."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

from torch import Tensor

from netwarp.data.clips import ClipData
from netwarp.engine.clip_flow import wait_for
from netwarp.engine.labels import labels_of
from netwarp.engine.measure import OnLabels, Row, Work, measure
from netwarp.engine.shown import Shown, runs_of
from netwarp.engine.stream_model import StreamModel
from netwarp.engine.tally import Measures, Scores
from netwarp.errors import ConfigurationError
from netwarp.flow import FlowEstimator, make_flow
from netwarp.model.probe import base_device

__all__ = ["Scores", "evaluate", "frames_to_run"]

CONSISTENCY_FLOW = "dis:medium"


def evaluate(
    models: Mapping[str, StreamModel],
    data: ClipData,
    *,
    widths: tuple[int, ...] = (2,),
    windows: tuple[int, ...] = (8, 16),
    average_sizes: Mapping[int, float] | None = None,
    history: int | None = None,
    consistency_flow: str | FlowEstimator = CONSISTENCY_FLOW,
    workers: int = 1,
    on_frame: Callable[[], None] | None = None,
    on_labels: OnLabels | None = None,
) -> dict[str, Scores]:
    """Run models over clips and score them.

    Every clip starts with no state. A model may have more outputs than there are classes; a pixel that gets such a
    label is wrong. A model's time is that of its own step and of its flow, which is estimated once for all models that
    want the same; reading and measuring are not in it. Where ``torch.distributed`` runs, each process takes its part of
    the clips, and all return the scores of all: a call of all processes.

    Args:
        models: By name; video models, or ones in windows. Put into evaluation mode. One whose flow is ``"true"`` gets
            the clips' own; one with precomputed flow that of the clip's sub-folder
            (:meth:`netwarp.flow.PrecomputedFlow.in_clip`).
        data: Clips with labels on some of their frames, or on none.
        widths: Of the bands around label changes, in pixels.
        windows: Frames that video consistency looks at together.
        average_sizes: Pixels of an average object by class, for iIoU; None takes the data's own.
        history: How many frames before each labelled frame are run; what no labelled frame needs is not even read.
            Where labels are closer together than that, a run just goes on. None runs whole clips.
        consistency_flow: What labels are carried along for temporal consistency.
        workers: Clips that are worked on at the same time. On the CPU each gets its part of torch's threads: scores do
            not depend on it (but where torch rounds otherwise with fewer threads), times do. On a GPU steps take turns,
            and are timed alone.
        on_frame: Called after each frame that was run, whatever the number of models; with workers, by their threads.
        on_labels: Called with each frame's labels; with workers, by their threads.

    Returns:
        Scores by the models' names.

    Raises:
        ConfigurationError: There is no model or no frame, or a number is out of range.
        InputError: A frame, its labels or its flow cannot be used.
    """
    if not models:
        raise ConfigurationError("nothing to evaluate: give at least one model")
    if history is not None and history < 0:
        raise ConfigurationError(f"history must be 0 or more frames before a labelled one, not {history}")
    on_cpu = all(base_device(model.base).type == "cpu" for model in models.values())
    turn: AbstractContextManager[object] = nullcontext() if on_cpu else threading.Lock()
    for model in models.values():
        model.eval()
    work = Work(
        data,
        lambda clip: runs_of(clip, history),
        lambda: {name: _ModelRow(model, turn) for name, model in models.items()},
        Measures(len(data.classes), widths, windows, average_sizes),
        make_flow(consistency_flow),
        on_frame,
        on_labels,
    )
    return measure(work, workers)


def frames_to_run(data: ClipData, history: int | None) -> int:
    """How many frames :func:`evaluate` runs."""
    return sum(len(run) for clip in data.clips for run in runs_of(clip, history))


class _ModelRow(Row):
    """A model on its way through a clip.

    Args:
        model: The model.
        turn: Held during its step.
    """

    def __init__(self, model: StreamModel, turn: AbstractContextManager[object]) -> None:
        self._model = model
        self._turn = turn
        self._device = base_device(model.base)
        self._state: object = None

    def start(self) -> None:
        self._state = None

    def label(self, shown: Shown) -> tuple[Tensor, float]:
        image = shown.image(self._device)
        found = shown.flow(self._model.flow, self._device) if self._model.layers else None
        flow, seconds = found or (None, 0.0)
        with self._turn:
            wait_for(self._device)
            began = time.perf_counter()
            logits, self._state = self._model.step(image, self._state, flow)
            labels = labels_of(logits)
            wait_for(self._device)
            return labels, seconds + time.perf_counter() - began
