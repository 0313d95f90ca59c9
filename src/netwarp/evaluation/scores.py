"""The metrics of ``netwarp evaluate``, and how the figures of one row of its table are counted.

To add a metric: write its class, a :class:`netwarp.metrics.Metric`, and add one line to :data:`METRICS`. Table, JSON
and per-class table follow from that line.
"""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, groupby
from typing import Any, Self

from torch import Tensor

from netwarp.distributed import all_processes
from netwarp.evaluation.intervals import BLOCK, Block, block_between, counts_of, interval, of_blocks, resampled
from netwarp.metrics import (
    InstanceIoU,
    LabelConsistency,
    LabelIoU,
    Metric,
    TemporalConsistency,
    TrimapCurve,
    VideoConsistencyCurve,
    WarpedIoU,
    WarpingError,
    iou_per_class,
    mean_iou,
)
from netwarp.model.task import Task

Scores = dict[str, Any]
"""The figures of one row by JSON key, in percent, nan where a metric does not apply: a number, a tuple with one for
each class, or a dict with either for each width or length. Besides those of :data:`METRICS` there are ``frames``, the
number of labelled ones, ``network_share``, that of the frames that the network ran on, and ``ms_per_frame``, the median
time of a step and its flow (of first frames only if there are no others); with keyframes, the mean of the medians with
and without the network, by their shares. Where intervals are asked for, there are ``intervals``, ``[low, high]`` for
each number (not by class), between which 95 % of the draws of a bootstrap over blocks of ten frames lie; ``clips``,
both by clip; and ``resampled``, the draws themselves."""

FIRST, NETWORK, CARRIED = range(3)
"""Kinds of frames by their time: those that follow none, and others with and without the network."""


@dataclass(frozen=True)
class MetricSettings:
    """What metrics are made with: classes, widths of trimaps in pixels, windows of VC in frames, sizes for iIoU.

    ``script``: whether VC is counted as by VSPW's script.
    """

    classes: int
    widths: tuple[int, ...] = (2,)
    windows: tuple[int, ...] = (8, 16)
    average_sizes: Mapping[int, float] | None = None
    script: bool = False
    task: str = Task.name
    own: Mapping[str, MetricSpec] = field(default_factory=dict)

    @property
    def specs(self) -> dict[str, MetricSpec]:
        """The metrics to count: those of the task, and the caller's own."""
        return {**{name: spec for name, spec in METRICS.items() if self.task in spec.tasks}, **self.own}

    @property
    def need_trust(self) -> bool:
        """Whether one of them looks at the trust in the flow."""
        return any("trust" in spec.inputs for spec in self.specs.values())


@dataclass(frozen=True)
class Figure:
    """One figure of a metric: its heading (``{}`` is the width or length), how it is read, and how it is rounded."""

    head: str
    read: Callable[[Any], Any] = lambda metric: metric.compute()
    digits: int = 2
    usual: float = math.nan  # a value that a table need not show


@dataclass(frozen=True)
class MetricSpec:
    """A metric of the table.

    Attributes:
        make: Makes an empty one.
        inputs: What ``update`` takes, in this order: ``prediction``, ``previous`` (the prediction before), ``target``,
            ``annotation`` (the target with void values told apart, where they are known), ``instances``, ``visible``
            (the pixels that the frame before shows; ``[1,H,W]`` each), ``flow`` (``[1,2,H,W]``) and ``trust`` in it
            (``[1,1,H,W]``, the photometric gate's). A frame that lacks one of them is not counted, and interrupts a
            metric of consecutive frames (:meth:`.Metric.start_clip`).
        figures: By JSON key.
        tasks: Names of the tasks whose results it measures.
    """

    make: Callable[[MetricSettings], Metric]
    inputs: tuple[str, ...]
    figures: dict[str, Figure]
    tasks: tuple[str, ...] = ("classes", "binary")


METRICS: dict[str, MetricSpec] = {
    "iou": MetricSpec(
        lambda settings: TrimapCurve(settings.classes, settings.widths),
        ("prediction", "target"),
        {
            "miou": Figure("IoU", lambda curve: mean_iou(curve.everywhere)),
            "per_class": Figure("IoU", lambda curve: tuple(iou_per_class(curve.everywhere).tolist())),
            "tiou": Figure("tIoU {} px"),
            "tiou_per_class": Figure(
                "tIoU {} px", lambda curve: dict(zip(curve.widths, map(tuple, curve.per_class().tolist()), strict=True))
            ),
        },
    ),
    "instance_iou": MetricSpec(
        lambda settings: InstanceIoU(settings.classes, settings.average_sizes),
        ("prediction", "target", "instances"),
        {"iiou": Figure("iIoU"), "iiou_per_class": Figure("iIoU", lambda iou: tuple(iou.per_class().tolist()))},
    ),
    "temporal_consistency": MetricSpec(
        lambda settings: TemporalConsistency(), ("previous", "prediction", "flow"), {"tc": Figure("consistency")}
    ),
    "warped_iou": MetricSpec(
        lambda settings: WarpedIoU(settings.classes),
        ("previous", "prediction", "flow"),
        {"tc_miou": Figure("TC mIoU")},
    ),
    "visible_warped_iou": MetricSpec(
        lambda settings: WarpedIoU(settings.classes),
        ("previous", "prediction", "flow", "visible"),
        {"tc_miou_visible": Figure("TC mIoU, visible")},
    ),
    "video_consistency": MetricSpec(
        lambda settings: VideoConsistencyCurve(settings.windows, script=settings.script),
        ("prediction", "annotation"),
        {"vc": Figure("VC{}")},
    ),
    "label_iou": MetricSpec(
        lambda settings: LabelIoU(settings.classes),
        ("prediction", "target"),
        {"miou": Figure("IoU"), "per_class": Figure("IoU", lambda iou: iou.per_class())},
        ("multilabel",),
    ),
    "label_consistency": MetricSpec(
        lambda settings: LabelConsistency(),
        ("previous", "prediction", "flow"),
        {"tc": Figure("consistency")},
        ("multilabel",),
    ),
    "warping_error": MetricSpec(
        lambda settings: WarpingError(),
        ("previous", "prediction", "flow", "trust"),
        {"warping_error": Figure("warping error %")},
        ("regression",),
    ),
}
"""The metrics of ``netwarp evaluate``, in the order of its table and JSON."""


def figures(scores: Scores) -> dict[str, Figure]:
    """All figures of a row that are printed, by JSON key."""
    metrics = {key: figure for spec in METRICS.values() for key, figure in spec.figures.items()}
    share = Figure("network on %", digits=1, usual=100.0)
    known = {**metrics, "network_share": share, "ms_per_frame": Figure("ms a frame", digits=1)}
    own = {key: Figure(key) for key in scores if key not in known and isinstance(scores[key], float)}
    return {key: figure for key, figure in {**own, **known}.items() if key in scores}


class MetricCollection:
    """Counts :data:`METRICS` and times for one row of the table: frame after frame, clip after clip."""

    def __init__(self, settings: MetricSettings) -> None:
        self._specs = settings.specs
        self.metrics = {name: spec.make(settings) for name, spec in self._specs.items()}
        self.frames = 0
        self.seconds: tuple[list[float], ...] = ([], [], [])  # by kind
        self.network = 0.0  # on how many of those frames it ran; in windows, shares of it
        self._follows = False
        self._previous: Tensor | None = None
        self._counted = list(self.metrics)
        self._blocks: list[Block] = []
        self._begin_block("")

    def start(self, frames: int, clip: str = "") -> None:
        """Begin a run of so many frames of a clip: the next one does not follow the last one."""
        self._end_block()
        self._begin_block(clip)
        self._counted = [name for name, metric in self.metrics.items() if metric.shortest_run <= frames]
        self._forget()

    def add(self, prediction: Tensor, target: Tensor | None = None, **others: Tensor | None) -> None:
        """Add the next frame; other inputs by name, as :class:`MetricSpec` has them."""
        if self._previous is not None and self._previous.shape != prediction.shape:
            self._forget()
        own = {"prediction": prediction, "previous": self._previous, "target": target}
        given = {"annotation": target, **others, **own}
        for name in self._counted:
            inputs = [given.get(each) for each in self._specs[name].inputs]
            if any(each is None for each in inputs):
                self.metrics[name].start_clip()
            else:
                self.metrics[name].update(*inputs)
        self.frames += target is not None
        self._follows, self._previous = self._previous is not None, prediction
        self._in_block += 1
        if self._in_block == BLOCK:
            self._end_block()
            self._begin_block(self._clip)

    def _begin_block(self, clip: str) -> None:
        self._clip, self._in_block, self._labelled = clip, 0, self.frames
        self._before = counts_of(self.metrics)

    def _end_block(self) -> None:
        if self._in_block:
            labelled = self.frames - self._labelled
            self._blocks.append(block_between(self._clip, labelled, self._before, counts_of(self.metrics)))
            self._in_block = 0

    def time(self, seconds: float, network: float = 1.0) -> None:
        """Note how long the frame that was added last has taken, and how much of the network ran on it."""
        self.seconds[CARRIED if not network else NETWORK if self._follows else FIRST].append(seconds)
        self.network += network

    def _forget(self) -> None:
        self._previous = None
        for metric in self.metrics.values():
            metric.start_clip()

    def merge(self, other: Self) -> None:
        """Add what another collection with the same settings has counted."""
        self._end_block()
        other._end_block()
        self._blocks += other._blocks
        for name, metric in self.metrics.items():
            metric.merge(other.metrics[name])
        self.frames += other.frames
        self.network += other.network
        self.seconds = tuple(ours + theirs for ours, theirs in zip(self.seconds, other.seconds, strict=True))
        self._begin_block("")

    def reduce(self) -> Self:
        """The sum over all processes of ``torch.distributed``: a call of all of them; alone, a copy."""
        total = copy.copy(self)
        total.metrics = {name: metric.reduce() for name, metric in self.metrics.items()}
        self._end_block()
        shares = all_processes((self.frames, self.network, self.seconds, self._blocks))
        total.frames = sum(share[0] for share in shares)
        total.network = sum(share[1] for share in shares)
        total.seconds = tuple(list(chain(*lists)) for lists in zip(*(share[2] for share in shares), strict=True))
        # Whoever counted what, in one order, so that draws are the same.
        total._blocks = sorted(chain(*(share[3] for share in shares)), key=lambda block: block.clip)
        return total

    def scores(self, *, intervals: bool = False) -> Scores:
        """The figures of all that was added."""
        first, *others = self.seconds
        timed = list(filter(None, others)) or list(filter(None, [first]))
        frames = sum(map(len, self.seconds))
        milliseconds = 1000 * sum(len(each) * statistics.median(each) for each in timed)
        return {
            **self._figures(self.metrics),
            "frames": self.frames,
            "network_share": 100 * self.network / frames if frames else math.nan,
            "ms_per_frame": milliseconds / sum(map(len, timed)) if timed else math.nan,
            **(self._intervals() if intervals and self._blocks else {}),
        }

    def _figures(self, metrics: Mapping[str, Metric], *, by_class: bool = True) -> dict[str, Any]:
        return {
            key: figure.read(metric)
            for name, metric in metrics.items()
            for key, figure in self._specs[name].figures.items()
            if by_class or not key.endswith("per_class")
        }

    def _intervals(self) -> dict[str, Any]:
        figures = partial(self._figures, by_class=False)
        metrics = copy.deepcopy(self.metrics)
        draws = resampled(metrics, self._blocks, figures)
        clips = {}
        for clip, group in groupby(self._blocks, key=lambda block: block.clip):
            blocks = list(group)
            own = draws if len(blocks) == len(self._blocks) else resampled(metrics, blocks, figures)
            labelled = sum(block.frames for block in blocks)
            clips[clip] = {
                **of_blocks(metrics, blocks, figures), "frames": labelled, "intervals": interval(own),
            }  # fmt: skip
        return {"intervals": interval(draws), "clips": clips, "resampled": draws}
