"""All measures of one row of a table, from its labels: frame after frame, clip after clip, process after process."""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor

from netwarp.distributed import all_processes
from netwarp.metrics import InstanceIoU, IoU, Metric, TemporalConsistency, TrimapCurve, VideoConsistency, band_matrices

__all__ = ["Measures", "Scores", "Tally", "Truth"]


@dataclass(frozen=True)
class Scores:
    """How well labels agree with the truth and with each other; shares in percent, nan where a measure does not apply.

    Attributes:
        miou: Mean IoU over classes.
        per_class: IoU of each class.
        tiou: IoU within so many pixels of label changes, by width.
        tc: Temporal consistency along DIS-medium flow.
        frames: Number of labelled frames.
        ms_per_frame: Median time of a step, flow included, in milliseconds, of frames that follow another: a first one
            has no past to bring along. Where there are only first ones, of those.
        iiou: Mean instance IoU over the classes that have objects.
        iiou_per_class: Instance IoU of each class.
        vc: Video consistency, by the number of frames in a window.
    """

    miou: float
    per_class: tuple[float, ...]
    tiou: dict[int, float]
    tc: float
    frames: int
    ms_per_frame: float
    iiou: float = math.nan
    iiou_per_class: tuple[float, ...] = ()
    vc: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Measures:
    """What is to be measured, and how.

    Attributes:
        classes: Number of classes that labels have.
        widths: Of the bands around label changes, in pixels.
        windows: Frames that video consistency looks at together.
        average_sizes: Pixels of an average object by class, for iIoU; None takes the data's own.
    """

    classes: int
    widths: tuple[int, ...] = (2,)
    windows: tuple[int, ...] = (8, 16)
    average_sizes: Mapping[int, float] | None = None


@dataclass(frozen=True, eq=False)
class Truth:
    """What people say of a frame.

    Attributes:
        labels: int64 ``[H,W]``, 255 = ignore.
        instances: int32 ``[H,W]``, 0 = none; None where nobody knows.
    """

    labels: Tensor
    instances: Tensor | None = None


class Tally:
    """Measures of one row."""

    def __init__(self, measures: Measures) -> None:
        self.iou = IoU(measures.classes)
        self.trimaps = TrimapCurve(measures.classes, measures.widths)
        self.instances = InstanceIoU(measures.classes, measures.average_sizes)
        self.consistency = TemporalConsistency()
        self.videos = {length: VideoConsistency(length) for length in measures.windows}
        self.frames = 0
        self.seconds: list[float] = []
        self.first_seconds: list[float] = []
        self._follows = False
        self._before: Tensor | None = None
        self._videos: list[VideoConsistency] = []

    def start(self, frames: int) -> None:
        """Say that the next frame does not follow the last one."""
        # What could not fill a window in so many frames need not be counted.
        self._videos = [video for video in self.videos.values() if video.length <= frames]
        self._forget()

    def add(self, labels: Tensor, truth: Truth | None = None, flow: Tensor | None = None) -> None:
        """Add the next frame."""
        if self._before is not None and self._before.shape != labels.shape:
            self._forget()
        self._follows = self._before is not None
        if self._before is not None and flow is not None:
            self.consistency.update(self._before, labels, flow)
        self._before = labels
        target = None if truth is None else truth.labels[None]
        for video in self._videos:
            video.update(labels, target)
        if truth is None or target is None:
            return
        self.frames += 1
        *bands, everywhere = band_matrices(labels, target, self.iou.classes, self.trimaps.widths)
        self.iou.matrix = self.iou.matrix + everywhere
        self.trimaps.matrices = self.trimaps.matrices + torch.stack(bands)
        if truth.instances is not None:
            self.instances.update(labels, target, truth.instances[None])

    def time(self, seconds: float) -> None:
        """Say how long the frame that was added last has taken."""
        (self.seconds if self._follows else self.first_seconds).append(seconds)

    def _forget(self) -> None:
        self._before = None
        for video in self._videos:
            video.start_clip()

    def merge(self, other: Self) -> None:
        """Add what another tally of the same measures has counted."""
        for mine, others in zip(self._metrics(), other._metrics(), strict=True):
            mine.merge(others)
        self.frames += other.frames
        self.seconds += other.seconds
        self.first_seconds += other.first_seconds

    def reduce(self) -> Self:
        """The tally of all processes of ``torch.distributed`` together: a call of all of them; alone, a copy."""
        total = copy.copy(self)
        total.iou, total.trimaps, total.instances = self.iou.reduce(), self.trimaps.reduce(), self.instances.reduce()
        total.consistency = self.consistency.reduce()
        total.videos = {length: video.reduce() for length, video in self.videos.items()}
        shares = all_processes((self.frames, self.seconds, self.first_seconds))
        total.frames = sum(frames for frames, _, _ in shares)
        total.seconds = [second for _, seconds, _ in shares for second in seconds]
        total.first_seconds = [second for _, _, seconds in shares for second in seconds]
        return total

    def scores(self) -> Scores:
        """What follows from the counts."""
        timed = self.seconds or self.first_seconds
        return Scores(
            miou=self.iou.compute(),
            per_class=tuple(self.iou.per_class().tolist()),
            tiou=self.trimaps.compute(),
            tc=self.consistency.compute(),
            frames=self.frames,
            ms_per_frame=1000 * statistics.median(timed) if timed else math.nan,
            iiou=self.instances.compute(),
            iiou_per_class=tuple(self.instances.per_class().tolist()),
            vc={length: video.compute() for length, video in self.videos.items()},
        )

    def _metrics(self) -> list[Metric]:
        return [self.iou, self.trimaps, self.instances, self.consistency, *self.videos.values()]
