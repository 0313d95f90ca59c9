"""Run models or predictions over clips and count their labels, on several threads and in several processes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from netwarp.datasets.clips import Clip, ClipData, ClipFrame
from netwarp.distributed import fail_together, part_of
from netwarp.errors import ConfigurationError, NetWarpError
from netwarp.evaluation.clip_reader import CPU, CachedFrame, ClipFlow, read_run
from netwarp.evaluation.scores import MetricCollection, MetricSettings, Scores
from netwarp.flow import FlowSource

OnLabels = Callable[[str, ClipFrame, Tensor], None]
"""Called with a row's name, a frame and its labels ``[1,H,W]``."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """A frame, its labels ``[1,H,W]``, the seconds that they took if that is known, and how much of the network ran."""

    frame: CachedFrame
    labels: Tensor
    seconds: float | None
    network: float


class Row(Protocol):
    """Labels the frames of a clip, for one row of the table; maybe some frames later."""

    def start(self) -> list[Labelled]:
        """Forget the past: the next frame does not follow the last one. Returns what still waited."""

    def label(self, frame: CachedFrame) -> list[Labelled]:
        """Take the next frame; returns those that are labelled now, in order."""


@dataclass(frozen=True, eq=False)
class EvaluationPlan:
    """The clips to label, what labels them, and how they are scored."""

    data: ClipData
    runs: Callable[[Clip], list[range]]  # the frames of a clip to label
    rows: Callable[[], Mapping[str, Row]]  # makes the rows by name, anew for each clip
    metrics: MetricSettings
    consistency_flow: FlowSource  # for temporal consistency
    on_frame: Callable[[], None] | None = None  # called once a frame, whatever the number of rows
    on_labels: OnLabels | None = None
    intervals: bool = False  # whether scores say how sure they are


def measure(plan: EvaluationPlan, workers: int = 1) -> dict[str, Scores]:
    """Label clips and score the labels, by row.

    Where ``torch.distributed`` runs, all processes must call it: each takes its part of the clips, all return the
    scores of all clips, and an error in one is raised in all.
    """
    if workers < 1:
        raise ConfigurationError(f"workers must be at least 1, not {workers}")
    if not any(clip.frames for clip in plan.data.clips):
        raise ConfigurationError(f"{plan.data.name} has no frames: there is nothing to evaluate")
    collections = {name: MetricCollection(plan.metrics) for name in plan.rows()}
    failure: NetWarpError | None = None
    try:
        for part in _parts(plan, workers):
            for name, collection in part.items():
                collections[name].merge(collection)
    except NetWarpError as error:
        failure = error
    fail_together(failure)
    return {name: collection.reduce().scores(intervals=plan.intervals) for name, collection in collections.items()}


def _parts(plan: EvaluationPlan, workers: int) -> Iterator[dict[str, MetricCollection]]:
    """Yield what each thread has counted."""
    clips = deque(part_of(plan.data.clips))
    workers = min(workers, len(clips))
    stop = threading.Event()
    if workers <= 1:
        yield _take_clips(plan, clips, stop)
        return
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(workers, initializer=lambda: torch.set_num_threads(max(1, threads // workers))) as pool:
            try:
                for job in as_completed([pool.submit(_take_clips, plan, clips, stop) for _ in range(workers)]):
                    yield job.result()
            finally:
                stop.set()
    finally:
        torch.set_num_threads(threads)


def _take_clips(plan: EvaluationPlan, clips: deque[Clip], stop: threading.Event) -> dict[str, MetricCollection]:
    collections = {name: MetricCollection(plan.metrics) for name in plan.rows()}
    with torch.no_grad():
        while clips and not stop.is_set():
            try:
                clip = clips.popleft()
            except IndexError:  # another thread was faster
                break
            _measure_clip(plan, clip, collections, stop)
    return collections


def _measure_clip(
    plan: EvaluationPlan, clip: Clip, collections: Mapping[str, MetricCollection], stop: threading.Event
) -> None:
    rows = plan.rows()
    flows = ClipFlow(clip, alone=len(plan.data.clips) == 1)
    names = list(rows)
    for run in plan.runs(clip):
        for name in names:
            collections[name].start(len(run), clip.name)
        for frame in read_run(clip, run, flows):
            if stop.is_set():
                return
            frame.visible(plan.consistency_flow)  # it is kept: labels may come when the frame before is gone
            # In turn, so that none always comes right after the reading.
            first = frame.position % len(names)
            for name in names[first:] + names[:first]:
                _count(plan, name, collections[name], rows[name].label(frame))
            if plan.on_frame is not None:
                plan.on_frame()
        for name in names:
            _count(plan, name, collections[name], rows[name].start())


def _count(plan: EvaluationPlan, name: str, collection: MetricCollection, done: list[Labelled]) -> None:
    for each in done:
        labels, frame = each.labels, each.frame
        truth = frame.truth((labels.shape[-2], labels.shape[-1]), labels.device)
        flow = frame.flow(plan.consistency_flow, CPU)
        visible = frame.visible(plan.consistency_flow)
        trust = frame.trust(flow[0]) if flow is not None and plan.metrics.need_trust else None
        collection.add(labels, **truth, flow=None if flow is None else flow[0], visible=visible, trust=trust)
        if each.seconds is not None:
            collection.time(each.seconds, each.network)
        if plan.on_labels is not None:
            plan.on_labels(name, frame.frame, labels)
