"""Score video models, and label maps from files, against labelled clips."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from netwarp.datasets.clips import Clip, ClipData
from netwarp.datasets.predictions import Predictions
from netwarp.distributed import fail_together
from netwarp.errors import ConfigurationError
from netwarp.evaluation.clip_reader import CPU, CachedFrame, joined, runs_of, wait_for
from netwarp.evaluation.clip_runner import EvaluationPlan, Labelled, OnLabels, Row, measure
from netwarp.evaluation.own_metrics import OwnMetric, own_metrics
from netwarp.evaluation.scores import MetricSettings, Scores
from netwarp.flow import FlowEstimator, flow_source
from netwarp.inference import labeller
from netwarp.inference.keyframes import KeyframePolicy, KeyframeTracker
from netwarp.inference.labeller import EdgesChoice, Labeller, make_edges
from netwarp.inference.lookahead import Delay, make_delay
from netwarp.inference.sliding import StreamModel
from netwarp.inference.windows_in_turn import windows_in_turn
from netwarp.model.inputs import base_device
from netwarp.model.netwarp import Flows
from netwarp.ops import Edges

CONSISTENCY_FLOW = "dis:medium"

Setting = TypeVar("Setting")


def evaluate(
    models: Mapping[str, StreamModel],
    data: ClipData,
    *,
    widths: tuple[int, ...] = (2,),
    windows: tuple[int, ...] = (8, 16),
    average_sizes: Mapping[int, float] | None = None,
    history: int | None = None,
    consistency_flow: str | FlowEstimator = CONSISTENCY_FLOW,
    keyframes: str | int | KeyframePolicy | type | Mapping[str, str | int | KeyframePolicy | type] = "all",
    edges: EdgesChoice | Mapping[str, EdgesChoice] = "auto",
    lag: int | Mapping[str, int] = 0,
    offline: bool | Mapping[str, bool] = False,
    workers: int = 1,
    intervals: bool = False,
    on_frame: Callable[[], None] | None = None,
    on_labels: OnLabels | None = None,
    metrics: Sequence[OwnMetric] = (),
) -> dict[str, Scores]:
    """Run models over clips and score them, by their names.

    Models take turns frame by frame, so that their times can be compared. Every clip starts without a state. A model
    may have more outputs than there are classes; a pixel with such a label is wrong. A model's time is that of its own
    step and of its flow, which is estimated once for all models with the same; reading and measuring are not counted.
    Where ``torch.distributed`` runs, all processes must call it: each takes its part of the clips, and all return the
    scores of all.

    Args:
        models: Video models, or ones in windows, by name. Put into evaluation mode. With flow ``"true"`` a model gets
            the clips' own; with precomputed flow that of the clip's sub-folder
            (:meth:`netwarp.flow.PrecomputedFlow.in_clip`).
        data: Clips with labels on some of their frames, or on none.
        widths: Widths of the bands around label changes, in pixels.
        windows: Lengths of video consistency's windows, in frames.
        average_sizes: Pixels of an average object by class, for iIoU; None takes the data's own.
        history: Frames that are run before each labelled one; frames that no labelled one needs are not read. None
            runs whole clips.
        consistency_flow: The flow of temporal consistency.
        keyframes: The frames that the networks run on, as in :func:`netwarp.segment`; or by the models' names, as the
            next three.
        edges: Whether edges of labels move to those of the picture.
        lag: Frames of delay of models with layers; the network frame by frame has none.
        offline: Whether those look ahead as far as is of use.
        workers: Clips at a time. On the CPU each gets its part of torch's threads, which changes times, and scores by
            torch's rounding alone. On a GPU steps take turns, and are timed alone.
        intervals: Whether scores tell how sure they are, over all and by clip (:data:`.Scores`).
        on_frame: Called after each frame that was run, whatever the number of models; with workers, by their threads.
        on_labels: Called with each frame's labels; with workers, by their threads.
        metrics: Metrics of one's own, beside those of the models' task: classes or functions that make a
            :class:`netwarp.metrics.Metric` (with ``classes=`` if they take that), whose ``update`` names what it takes
            (:class:`.MetricSpec`), or texts ``package.module:callable``. Each has its name as key.
    """
    if not models:
        raise ConfigurationError("nothing to evaluate: give at least one model")
    if history is not None and history < 0:
        raise ConfigurationError(f"history must be 0 or more frames before a labelled one, not {history}")
    on_cpu = all(base_device(model.base).type == "cpu" for model in models.values())
    turn: AbstractContextManager[object] = nullcontext() if on_cpu else threading.Lock()
    for model in models.values():
        model.eval()

    def row(name: str, model: StreamModel) -> _ModelRow:
        delay = make_delay(_of(lag, name), offline=_of(offline, name)) if model.layers else None
        wanted = keyframes[name] if isinstance(keyframes, Mapping) else keyframes
        video, policy = windows_in_turn(model, wanted)
        return _ModelRow(video, turn, policy, make_edges(_of(edges, name), model), delay)

    def rows() -> dict[str, _ModelRow]:
        return {name: row(name, model) for name, model in models.items()}

    rows()  # an error in time
    tasks = {model.task.name: model.task for model in models.values()}
    if len(tasks) > 1:
        raise ConfigurationError(f"models of different tasks ({', '.join(tasks)}) have no common scores: evaluate each")
    (task,) = tasks.values()
    plan = EvaluationPlan(
        data,
        lambda clip: runs_of(clip, history),
        rows,
        replace(_settings(data, widths, windows, average_sizes), task=task.name, own=own_metrics(metrics)),
        flow_source(consistency_flow),
        on_frame,
        on_labels,
        intervals,
    )
    return measure(plan, workers)


def _settings(
    data: ClipData, widths: tuple[int, ...], windows: tuple[int, ...], average_sizes: Mapping[int, float] | None
) -> MetricSettings:
    script = any(frame.annotation is not None for clip in data.clips for frame in clip.frames[:1])
    return MetricSettings(len(data.classes), widths, windows, average_sizes, script)


def _of(setting: Setting | Mapping[str, Setting], name: str) -> Setting:
    return setting[name] if isinstance(setting, Mapping) else setting


def frames_to_run(data: ClipData, history: int | None) -> int:
    """The number of frames that :func:`evaluate` runs."""
    return sum(len(run) for clip in data.clips for run in runs_of(clip, history))


class _ModelRow(Row):
    def __init__(
        self,
        model: StreamModel,
        turn: AbstractContextManager[object],
        policy: KeyframePolicy | None,
        edges: Edges | None,
        delay: Delay | None,
    ) -> None:
        self._model = model
        self._tracker = None if policy is None else KeyframeTracker(policy)
        self._labeller = Labeller(model, carries=policy is not None, edges=edges, delay=delay)
        self._looks_ahead = delay is not None
        self._turn = turn
        self._device = base_device(model.base)
        self._seconds = 0.0  # since labels were last handed out
        self._follows = False

    def start(self) -> list[Labelled]:
        self._follows = False
        return self._timed(self._labeller.start)

    def label(self, frame: CachedFrame) -> list[Labelled]:
        image = frame.image(self._device)
        needed = self._model.layers or self._tracker or self._looks_ahead
        found = frame.flow(self._model.flow, self._device) if needed else None
        flow, seconds = found or (None, 0.0)
        self._seconds += seconds
        done = self.start() if self._follows and needed and flow is None else []  # the size changes
        return done + self._timed(lambda: self._next(frame, image, flow))

    def _next(self, frame: CachedFrame, image: Tensor, flow: Tensor | None) -> list[labeller.Labelled]:
        given: Tensor | Flows | None = flow
        keyframe, ahead = True, None
        if flow is not None and self._follows and frame.before is not None:
            before = frame.before.image(self._device)
            if self._looks_ahead:
                ahead = self._model.flows_ahead(image, before, Flows(flow))
            if self._tracker is not None:
                trusted = self._model.trusted(image, before, Flows(flow))
                seen, keyframe = self._tracker.next(image, trusted, frame.position)
                given = seen.path
        elif self._tracker is not None:
            self._tracker.start(image)
        self._follows = True
        path = given if isinstance(given, Flows) and not keyframe else None
        return self._labeller.add(frame, image, given, path, ahead, frame.position)

    def _timed(self, work: Callable[[], list[labeller.Labelled]]) -> list[Labelled]:
        with self._turn:
            wait_for(self._device)
            began = time.perf_counter()
            done = work()
            wait_for(self._device)
            self._seconds += time.perf_counter() - began
        if not done:
            return []
        each, self._seconds = self._seconds / len(done), 0.0
        return [Labelled(found.item, found.labels.long(), each, found.network) for found in done]


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
    intervals: bool = False,
    on_frame: Callable[[], None] | None = None,
) -> Scores:
    """Score label maps from files, without times; arguments are those of :func:`evaluate`.

    Frames follow each other where all between them have a label map. Maps that cannot be used raise one error at the
    end, which names the first and counts all.
    """

    def runs(clip: Clip) -> list[range]:
        return joined(range(i, i + 1) for i, frame in enumerate(clip.frames) if frame.name in predictions.files)

    plan = EvaluationPlan(
        data,
        runs,
        lambda: {_ROW: _PredictedRow(predictions)},
        _settings(data, widths, windows, average_sizes),
        flow_source(consistency_flow),
        on_frame,
        intervals=intervals,
    )
    scores = measure(plan, workers)[_ROW]
    fail_together(predictions.fault())
    return scores


class _PredictedRow(Row):
    def __init__(self, predictions: Predictions) -> None:
        self._predictions = predictions

    def start(self) -> list[Labelled]:
        return []

    def label(self, frame: CachedFrame) -> list[Labelled]:
        # A labelled frame has the size of its labels: the image, a much larger file, need not be read.
        if frame.labels is not None:
            height, width = frame.labels.shape
        else:
            height, width = frame.image(CPU).shape[2:]
        labels = self._predictions.read(frame.frame.name, (height, width))
        return [Labelled(frame, torch.from_numpy(labels.astype(np.int64))[None], None, 1.0)]
