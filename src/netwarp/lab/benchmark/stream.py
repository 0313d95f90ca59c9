"""Whole streams, from a video file to labels, against the network frame by frame.

Runs take turns, not frames: a stream has threads that read and estimate flow for frames to come, and two that are
interleaved would take each other's time. A run's time is that from one result to a later one
(:data:`netwarp.lab.benchmark.networks.AHEAD`).
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import torch

from netwarp.errors import NetWarpError
from netwarp.inference.render import render
from netwarp.inference.stream import Segmented, segment
from netwarp.lab.benchmark.harness import Progress, Runner, in_turn
from netwarp.lab.benchmark.networks import (
    AHEAD,
    FRAME_BY_FRAME,
    NETWORKS,
    Around,
    Network,
    load_network,
    open_street,
    write_street,
)
from netwarp.lab.benchmark.plan import BenchmarkPlan, StreamAmount
from netwarp.lab.benchmark.results import StreamRow
from netwarp.model import VideoModel
from netwarp.ops import warp_combine

DEFAULT = StreamAmount((360, 480), 2, 8, 3, 1.0)
"""For a network that was asked for and the amounts do not name."""


def measure_stream(plan: BenchmarkPlan, tell: Progress, apart: Runner) -> Iterator[StreamRow]:
    """A row for each model around each network."""
    with tempfile.TemporaryDirectory(prefix="netwarp-benchmark-") as folder:
        for name in plan.streamed:
            yield from apart(tell, plan.threads, streams_of, name, plan, Path(folder))


def streams_of(name: str, plan: BenchmarkPlan, folder: Path, tell: Progress) -> Iterator[StreamRow]:
    """The same for one network, in this process."""
    plan.prepare()
    network, amount = NETWORKS[name], plan.amounts.streams.get(name, DEFAULT)
    tell(f"{network.title}: loading")
    video = write_street(folder, amount.size, amount.dropped + amount.frames + AHEAD)
    base = load_network(network, plan.weights.get(name), plan.device)
    models = {around: around.build(base, plan.flow) for around in network.models}
    load_loops()
    runs = plan.runs or amount.runs
    streamed: dict[Around, list[float]] = {around: [] for around in models}
    rendered: dict[Around, list[float]] = {around: [] for around in models}

    def run(around: Around, written: Path | None) -> float:
        source = open_street(video, amount.size)
        if written is None:
            return seconds_a_frame(segment(source, models[around]), amount.dropped, amount.frames)
        return _seconds_rendered(models[around], video, amount, written)

    for number in range(runs):
        for around in in_turn(list(models), number):
            tell(f"{network.title}: run {number + 1} of {runs}, {around.name}")
            streamed[around].append(run(around, None))
            if network.rendered:
                rendered[around].append(run(around, folder / "rendered.mp4"))
    yield from stream_rows(network, amount, plan.flow, streamed, rendered)


def load_loops() -> None:
    """Have the warp's loops ready, which are else loaded at the first frame with a past."""
    for layout in (torch.contiguous_format, torch.channels_last):
        maps = torch.zeros(1, 4, 8, 8).contiguous(memory_format=layout)
        warp_combine(maps, maps, torch.zeros(1, 2, 8, 8), torch.ones(4), torch.ones(4), torch.ones(1, 1, 8, 8))


def seconds_a_frame(results: Iterator[Segmented], dropped: int, frames: int) -> float:
    """The time between two results, by the number of frames."""
    meter = Meter(dropped, frames)
    with closing(results):  # type: ignore[type-var]
        for _ in results:
            if meter.full():
                break
    return meter.seconds


class Meter:
    """Looks at the clock at the right results."""

    def __init__(self, dropped: int, frames: int, now: Callable[[], float] = time.perf_counter) -> None:
        self._first, self._last = dropped, dropped + frames
        self._now = now
        self._count = 0
        self._began = self._ended = 0.0

    def full(self) -> bool:
        """Count a result; whether it was the last that counts."""
        self._count += 1
        if self._count == self._first:
            self._began = self._now()
        if self._count == self._last:
            self._ended = self._now()
        return self._count >= self._last

    @property
    def seconds(self) -> float:
        """For each frame."""
        if self._count < self._last:
            raise NetWarpError(f"the video ended after {self._count} frames, before the {self._last} that are timed")
        return (self._ended - self._began) / (self._last - self._first)


class _EnoughError(Exception):
    """All that counts is rendered."""


def _seconds_rendered(model: VideoModel, video: Path, amount: StreamAmount, place: Path) -> float:
    meter = Meter(amount.dropped, amount.frames)

    def count(_: Segmented) -> None:
        if meter.full():
            raise _EnoughError

    with suppress(_EnoughError):
        render(open_street(video, amount.size), model, video=place, on_frame=count)
    return meter.seconds


def stream_rows(
    network: Network,
    amount: StreamAmount,
    flow: str,
    streamed: dict[Around, list[float]],
    rendered: dict[Around, list[float]],
) -> Iterator[StreamRow]:
    """Rows from the seconds of each run, which took turns."""
    for around, seconds in streamed.items():
        written = rendered[around]
        yield StreamRow(
            network=network.title,
            size=amount.size,
            model=around.name,
            flow=None if around == FRAME_BY_FRAME else flow,
            frames=amount.frames,
            runs=len(seconds),
            ms=1000 * statistics.median(seconds),
            ratio=_ratio(seconds, streamed[FRAME_BY_FRAME]),
            rendered_ms=1000 * statistics.median(written) if written else None,
            rendered_ratio=_ratio(written, rendered[FRAME_BY_FRAME]) if written else None,
        )


def _ratio(seconds: list[float], single: list[float]) -> float:
    return statistics.median(ours / alone for ours, alone in zip(seconds, single, strict=True))
