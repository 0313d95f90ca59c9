"""Clips through whatever labels them, and the labels into collections: on several threads, in several processes."""

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

__all__ = ["OnLabels", "Row", "Work", "measure"]


class Row(Protocol):
    """What labels the frames of a clip, and becomes a row of the table."""

    def start(self) -> None:
        """Forget the past: the next frame does not follow the last one."""

    def label(self, shown: CachedFrame) -> tuple[Tensor, float | None]:
        """Label the next frame."""


OnLabels = Callable[[str, ClipFrame, Tensor], None]
"""Called with a row's name, a frame and its labels ``[1,H,W]``."""


@dataclass(frozen=True, eq=False)
class Work:
    """What is to be measured.

    Attributes:
        data: The clips.
        runs: Says which stretches of a clip are shown.
        rows: Makes the rows by name, anew for each clip.
        metrics: What metrics are made with.
        consistency_flow: What labels are carried along for temporal consistency.
        on_frame: Called after each frame, whatever the number of rows.
        on_labels: Called with each frame's labels.
    """

    data: ClipData
    runs: Callable[[Clip], list[range]]
    rows: Callable[[], Mapping[str, Row]]
    metrics: MetricSettings
    consistency_flow: FlowSource
    on_frame: Callable[[], None] | None = None
    on_labels: OnLabels | None = None


def measure(work: Work, workers: int = 1) -> dict[str, Scores]:
    """Label clips and score the labels.

    Where ``torch.distributed`` runs, each process takes its part of the clips, and all return the scores of all clips:
    a call of all processes, which fails in all of them where it fails in one.
    """
    if workers < 1:
        raise ConfigurationError(f"at least 1 clip must be worked on at a time, not {workers}")
    if not any(clip.frames for clip in work.data.clips):
        raise ConfigurationError(f"{work.data.name} has no frames: there is nothing to evaluate")
    collections = {name: MetricCollection(work.metrics) for name in work.rows()}
    failure: NetWarpError | None = None
    try:
        for part in _parts(work, workers):
            for name, collection in part.items():
                collections[name].merge(collection)
    except NetWarpError as error:
        failure = error
    fail_together(failure)
    return {name: collection.reduce().scores() for name, collection in collections.items()}


def _parts(work: Work, workers: int) -> Iterator[dict[str, MetricCollection]]:
    """What each thread has counted."""
    clips = deque(part_of(work.data.clips))
    workers = min(workers, len(clips))
    stop = threading.Event()
    if workers <= 1:
        yield _take_clips(work, clips, stop)
        return
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(workers, initializer=lambda: torch.set_num_threads(max(1, threads // workers))) as pool:
            try:
                for job in as_completed([pool.submit(_take_clips, work, clips, stop) for _ in range(workers)]):
                    yield job.result()
            finally:
                stop.set()
    finally:
        torch.set_num_threads(threads)


def _take_clips(work: Work, clips: deque[Clip], stop: threading.Event) -> dict[str, MetricCollection]:
    """Measure clips until there are no more."""
    collections = {name: MetricCollection(work.metrics) for name in work.rows()}
    with torch.no_grad():
        while clips and not stop.is_set():
            try:
                clip = clips.popleft()
            except IndexError:  # another thread was faster
                break
            _measure_clip(work, clip, collections, stop)
    return collections


def _measure_clip(work: Work, clip: Clip, collections: Mapping[str, MetricCollection], stop: threading.Event) -> None:
    rows = work.rows()
    flows = ClipFlow(clip, alone=len(work.data.clips) == 1)
    names = list(rows)
    for run in work.runs(clip):
        for name in names:
            rows[name].start()
            collections[name].start(len(run))
        for shown in read_run(clip, run, flows):
            if stop.is_set():
                return
            # In turn, so that none always comes right after the reading.
            first = shown.position % len(names)
            for name in names[first:] + names[:first]:
                labels, seconds = rows[name].label(shown)
                _count(collections[name], labels, seconds, shown, work.consistency_flow)
                if work.on_labels is not None:
                    work.on_labels(name, shown.frame, labels)
            if work.on_frame is not None:
                work.on_frame()


def _count(
    metrics: MetricCollection, labels: Tensor, seconds: float | None, frame: CachedFrame, flow: FlowSource
) -> None:
    carried = frame.flow(flow, CPU)
    truth = frame.truth((labels.shape[1], labels.shape[2]), labels.device)
    metrics.add(labels, **truth, flow=None if carried is None else carried[0])
    if seconds is not None:
        metrics.time(seconds)
