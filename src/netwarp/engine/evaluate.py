"""Video models against labels: several at once, frame by frame in turn, so that their times can be compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from netwarp.errors import ConfigurationError
from netwarp.flow import FlowEstimator, make_flow
from netwarp.metrics import IoU, TemporalConsistency, TrimapIoU
from netwarp.model import VideoModel, VideoState
from netwarp.model.frames import as_frames
from netwarp.model.probe import base_device

__all__ = ["LabelledFrame", "Scores", "evaluate"]

LabelledFrame = tuple[npt.NDArray[np.uint8], npt.NDArray[np.integer] | None]
"""A frame (RGB uint8 ``[H,W,3]``) and its labels (``[H,W]``, 255 = ignore), or None where nobody labelled it."""

CONSISTENCY_FLOW = "dis:medium"


@dataclass(frozen=True)
class Scores:
    """How well a model did; shares in percent, nan where a measure does not apply.

    Attributes:
        miou: Mean IoU over classes.
        per_class: IoU of each class.
        tiou: IoU within so many pixels of label changes, by width.
        tc: Temporal consistency along DIS-medium flow.
        frames: Number of labelled frames.
        ms_per_frame: Median time of a step, flow included, in milliseconds.
    """

    miou: float
    per_class: tuple[float, ...]
    tiou: dict[int, float]
    tc: float
    frames: int
    ms_per_frame: float


@dataclass
class _Run:
    """One model on its way through a clip."""

    model: VideoModel
    iou: IoU
    trimaps: dict[int, TrimapIoU]
    consistency: TemporalConsistency = field(default_factory=TemporalConsistency)
    seconds: list[float] = field(default_factory=list)
    state: VideoState | None = None
    labels: Tensor | None = None


def evaluate(
    models: Mapping[str, VideoModel],
    clips: Iterable[Iterable[LabelledFrame]],
    classes: int,
    *,
    widths: tuple[int, ...] = (2,),
    consistency_flow: str | FlowEstimator = CONSISTENCY_FLOW,
) -> dict[str, Scores]:
    """Run models over clips and score them.

    Every clip starts with no state. A model may have more outputs than there are classes; a pixel that gets such a
    label is wrong.

    Args:
        models: By name; put into evaluation mode.
        clips: Each a video in order. Flow that is looked up (``precomputed:``) is that of one clip, whose frames it
            counts from 0: evaluate other clips with other models.
        classes: Number of classes that labels have.
        widths: Of the bands around label changes, in pixels.
        consistency_flow: What labels are carried along for temporal consistency.

    Returns:
        Scores by the models' names.

    Raises:
        ConfigurationError: there is no model.
    """
    if not models:
        raise ConfigurationError("nothing to evaluate: give at least one model")
    flow_of = make_flow(consistency_flow)
    runs = {
        name: _Run(model.eval(), IoU(classes), {w: TrimapIoU(classes, w) for w in widths})
        for name, model in models.items()
    }
    frames = 0
    for clip in clips:
        previous: Tensor | None = None
        for index, (image, labels) in enumerate(clip):
            frame = as_frames(image, torch.device("cpu"))
            flow = None if previous is None else flow_of(frame, previous)
            frames += labels is not None
            for run in runs.values():
                _advance(run, index, frame, labels, flow)
            previous = frame
        for run in runs.values():
            run.state = run.labels = None
    return {name: _scores(run, frames) for name, run in runs.items()}


def _advance(run: _Run, index: int, frame: Tensor, target: npt.NDArray[np.integer] | None, flow: Tensor | None) -> None:
    on_device = frame.to(base_device(run.model.base))
    began = time.perf_counter()
    with torch.no_grad():
        logits, run.state = run.model.step(on_device, run.state, index=index)
        labels = logits.argmax(1).cpu()
    run.seconds.append(time.perf_counter() - began)
    if run.labels is not None and flow is not None:
        run.consistency.update(run.labels, labels, flow)
    if target is not None:
        run.iou.update(labels[0], target)
        for trimap in run.trimaps.values():
            trimap.update(labels[0], target)
    run.labels = labels


def _scores(run: _Run, frames: int) -> Scores:
    return Scores(
        miou=run.iou.compute(),
        per_class=tuple(run.iou.per_class().tolist()),
        tiou={width: trimap.compute() for width, trimap in run.trimaps.items()},
        tc=run.consistency.compute(),
        frames=frames,
        ms_per_frame=1000 * statistics.median(run.seconds) if run.seconds else float("nan"),
    )
