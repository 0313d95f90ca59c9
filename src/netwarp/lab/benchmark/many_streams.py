"""Several streams in one process: threads that share a model, each with a video of its own."""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from netwarp.errors import NetWarpError
from netwarp.inference.stream import segment
from netwarp.lab.benchmark.harness import Progress, Runner, in_turn, resident_mib
from netwarp.lab.benchmark.networks import (
    AHEAD,
    NETWORKS,
    SMALL,
    TRAINING_FREE,
    Around,
    Network,
    load_network,
    open_street,
    write_street,
)
from netwarp.lab.benchmark.plan import BenchmarkPlan, no_preparation
from netwarp.lab.benchmark.results import BesideRow, LengthRow, SlopeRow, TogetherRow
from netwarp.lab.benchmark.stream import load_loops
from netwarp.model import VideoModel

NETWORK = "espnet"
DROPPED = 2
LEAST = 8
"""Results of each stream that count, however many there are."""


@dataclass(frozen=True)
class StreamGroup:
    """Streams that run at the same time."""

    network: Network  # the network
    around: Around  # the model around it
    weights: str | None  # the network's
    flow: str  # spec of its flow
    device: str  # where it runs
    size: tuple[int, int]  # (height, width) of frames
    streams: int  # how many
    frames: int  # results of each that count
    runs: int = 1  # how often
    prepare: Callable[[], None] = no_preparation  # called first


@dataclass(frozen=True)
class Together:
    """What came of a crowd: frames a second in sum, and the most memory that the process had meanwhile."""

    fps: float
    resident_mib: float


def measure_together(plan: BenchmarkPlan, tell: Progress, apart: Runner) -> Iterator[TogetherRow]:
    """A row for each model and number of streams.

    Each number has a process, which loads once and then waits for its turns.
    """
    amounts, network = plan.amounts, NETWORKS[NETWORK]
    runs = plan.runs or amounts.together_runs
    with tempfile.TemporaryDirectory(prefix="netwarp-benchmark-") as folder:
        for around in chosen(network, amounts.trained):
            with ExitStack() as processes:
                crowds = {}
                for streams in amounts.together:
                    crowd = StreamGroup(
                        network,
                        around,
                        plan.weights.get(NETWORK),
                        plan.flow,
                        plan.device,
                        amounts.together_size,
                        streams,
                        max(LEAST, amounts.together_frames // streams),
                        runs,
                        plan.prepare,
                    )
                    process = apart(tell, plan.threads, run_crowd, crowd, Path(folder))
                    crowds[streams] = processes.enter_context(closing(process))  # type: ignore[type-var]
                found: dict[int, list[Together]] = {streams: [] for streams in crowds}
                for number in range(runs):
                    for streams in in_turn(amounts.together, number):
                        tell(f"{network.title}, {around.name}: run {number + 1} of {runs}, {streams} streams")
                        found[streams].append(next(crowds[streams]))
            yield from _rows(network, around, amounts.together_size, found)


def chosen(network: Network, trained: bool) -> tuple[Around, ...]:
    """The models that are looked at: a trained one, where wanted, and the one without training."""
    return (*network.netwarps[:trained], TRAINING_FREE)


def _rows(
    network: Network, around: Around, size: tuple[int, int], found: dict[int, list[Together]]
) -> Iterator[TogetherRow]:
    single = found[min(found)]
    for streams, runs in found.items():
        yield TogetherRow(
            network=network.title,
            size=size,
            model=around.name,
            streams=streams,
            runs=len(runs),
            fps=statistics.median(run.fps for run in runs),
            ratio=statistics.median(run.fps / one.fps for run, one in zip(runs, single, strict=True)),
            resident_mib=statistics.median(run.resident_mib for run in runs),
        )


def run_crowd(crowd: StreamGroup, folder: Path, tell: Progress) -> Iterator[Together]:
    """Run streams in this process."""
    crowd.prepare()
    video = write_street(folder, crowd.size, DROPPED + crowd.frames + AHEAD)
    base = load_network(crowd.network, crowd.weights, crowd.device)
    model = crowd.around.build(base, crowd.flow)
    load_loops()
    for _ in range(crowd.runs):
        yield _run(model, video, crowd)


def _run(model: VideoModel, video: Path, crowd: StreamGroup) -> Together:
    stage = _Stage(crowd.streams)
    threads = [
        threading.Thread(target=_stream, args=(model, video, crowd, own, stage), daemon=True) for own in stage.stamps
    ]
    for thread in threads:
        thread.start()
    most = resident_mib()
    while not stage.over.wait(0.05):
        most = max(most, resident_mib())
    most = max(most, resident_mib())
    for thread in threads:
        thread.join()
    if stage.failures:
        raise stage.failures[0]
    return Together(rate_of(stage.stamps, crowd.frames), most)


class _Stage:
    """Where streams meet."""

    def __init__(self, streams: int) -> None:
        self.ready = threading.Barrier(streams)  # all wait here until each has given its first results
        self.over = threading.Event()  # the first that is done ends it for all: from then on they would not be as many
        # when each went on from there, and when it gave each result since
        self.stamps: list[list[float]] = [[] for _ in range(streams)]
        self.failures: list[BaseException] = []  # what went wrong


def _stream(model: VideoModel, video: Path, crowd: StreamGroup, stamps: list[float], stage: _Stage) -> None:
    try:
        results = segment(open_street(video, crowd.size), model)
        with closing(results):  # type: ignore[type-var]
            for _ in range(DROPPED):
                next(results)
            stage.ready.wait()
            stamps.append(time.perf_counter())
            while len(stamps) <= crowd.frames and not stage.over.is_set():
                next(results)
                stamps.append(time.perf_counter())
    except threading.BrokenBarrierError:  # another one failed
        pass
    except BaseException as error:  # for the thread that waits
        stage.failures.append(error)
        stage.ready.abort()
    finally:
        stage.over.set()


def rate_of(stamps: Sequence[Sequence[float]], frames: int) -> float:
    """Frames a second in sum, while all streams ran: each one's rate over its own whole frames.

    >>> rate_of([[0, 1, 2, 3, 4], [0, 2, 4], [0, 4.1]], 4)
    1.5
    """
    end = min(own[frames] for own in stamps if len(own) > frames)
    rates = []
    for own in stamps:
        count = sum(stamp <= end for stamp in own) - 1
        rates.append(count / (own[count] - own[0]) if count else 0.0)
    return sum(rates)


def measure_memory(plan: BenchmarkPlan, tell: Progress, apart: Runner) -> Iterator[LengthRow | BesideRow | SlopeRow]:
    """Rows for each model: along a video, with several, and what that comes to."""
    amounts = plan.amounts
    size = amounts.small_size
    with tempfile.TemporaryDirectory(prefix="netwarp-benchmark-") as folder:
        for around in chosen(SMALL, amounts.trained):
            tell(f"{around.name}: {max(amounts.lengths)} frames")
            along: list[LengthRow] = []
            for row in apart(tell, plan.threads, memory_along, around, plan, Path(folder)):
                along.append(row)
                yield row
            beside: list[BesideRow] = []
            for streams in amounts.together:
                tell(f"{around.name}: {streams} streams")
                frames = max(1, amounts.lengths[0] // 2)
                crowd = StreamGroup(
                    SMALL, around, None, plan.flow, plan.device, size, streams, frames, prepare=plan.prepare
                )
                for found in apart(tell, plan.threads, run_crowd, crowd, Path(folder)):
                    beside.append(BesideRow(SMALL.title, size, around.name, streams, found.resident_mib))
                    yield beside[-1]
            yield SlopeRow(
                SMALL.title,
                around.name,
                1000 * slope([row.frames for row in along], [row.resident_mib for row in along]),
                slope([row.streams for row in beside], [row.resident_mib for row in beside]),
            )


def memory_along(around: Around, plan: BenchmarkPlan, folder: Path, tell: Progress) -> Iterator[LengthRow]:
    """Memory of this process after so many frames."""
    plan.prepare()
    size, lengths = plan.amounts.small_size, plan.amounts.lengths
    video = write_street(folder, size, max(lengths))
    model = around.build(load_network(SMALL, None, plan.device), plan.flow)
    load_loops()
    results = segment(open_street(video, size), model)
    with closing(results):  # type: ignore[type-var]
        for number, _ in enumerate(results, 1):
            if number % 50 == 0:
                tell(f"{around.name}: frame {number} of {max(lengths)}")
            if number in lengths:
                yield LengthRow(SMALL.title, size, around.name, number, resident_mib())
            if number == max(lengths):
                return
    raise NetWarpError(f"the video ended before the {max(lengths)} frames that memory is measured along")


def slope(at: Sequence[float], values: Sequence[float]) -> float:
    """Of the straight line nearest to some values (least squares).

    >>> round(slope([1, 2, 4], [10.0, 12.0, 16.0]), 6)
    2.0
    """
    return float(np.polyfit(at, values, 1)[0])
