"""Several streams in one process: threads that share a model, each with a video of its own; and their memory."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from netwarp.inference.stream import segment
from netwarp.lab.benchmark.networks import (
    AHEAD,
    NETWORKS,
    SMALL,
    TRAINING_FREE,
    Around,
    Network,
    open_street,
    prepare,
)
from netwarp.lab.benchmark.own_process import Progress, Runner
from netwarp.lab.benchmark.plan import Request
from netwarp.lab.benchmark.rounds import in_turn
from netwarp.lab.benchmark.tables import Found
from netwarp.model import VideoModel

NETWORK = "espnet"
DROPPED = 2
LEAST = 8
"""Results of each stream that count, however many there are."""

MIB = 2**20


@dataclass(frozen=True)
class StreamGroup:
    """Streams that run at the same time."""

    network: Network
    around: Around  # the model around it
    size: tuple[int, int]  # (height, width) of frames
    streams: int  # how many
    frames: int  # results of each that count
    runs: int = 1  # how often


def measure_streams(request: Request, tell: Progress, runner: Runner) -> Iterator[Found]:
    """A row for each model and number of streams.

    Each number has a process, which loads once and then waits for its turns.
    """
    amounts, network = request.amounts, NETWORKS[NETWORK]
    runs = request.runs or amounts.group_runs
    with tempfile.TemporaryDirectory(prefix="netwarp-benchmark-") as folder:
        for around in models_around(network, request):
            found: dict[int, list[tuple[float, float]]] = {streams: [] for streams in amounts.groups}
            with ExitStack() as processes:
                waiting = {}
                for streams in amounts.groups:
                    frames = max(LEAST, amounts.group_frames // streams)
                    group = StreamGroup(network, around, amounts.group_size, streams, frames, runs)
                    process = runner(run_group, group, request, Path(folder))
                    waiting[streams] = processes.enter_context(closing(process))  # type: ignore[type-var]
                for number in range(runs):
                    for streams in in_turn(amounts.groups, number):
                        tell(f"{network.title}, {around.name}: run {number + 1} of {runs}, {streams} streams")
                        found[streams].append(next(waiting[streams]))
            names = {"network": network.title, "size": amounts.group_size, "model": around.name}
            for streams, its in found.items():
                ratios = [fps / alone for (fps, _), (alone, _) in zip(its, found[min(found)], strict=True)]
                yield (
                    "rows",
                    {
                        **names,
                        "streams": streams,
                        "runs": runs,
                        "fps": statistics.median(fps for fps, _ in its),
                        "ratio": statistics.median(ratios),
                        "resident_mib": statistics.median(mib for _, mib in its),
                    },
                )


def models_around(network: Network, request: Request) -> tuple[Around, ...]:
    """The models that are looked at: a trained one, where wanted, and the one without training."""
    return (*network.netwarps[: request.amounts.trained], TRAINING_FREE)


def run_group(group: StreamGroup, request: Request, folder: Path, _tell: Progress) -> Iterator[tuple[float, float]]:
    """Run streams in this process: frames a second in sum, and the most memory (MiB) that it had meanwhile."""
    base, video = prepare(group.network, request, folder, group.size, DROPPED + group.frames + AHEAD)
    model = group.around.build(base, request.flow)
    for _ in range(group.runs):
        yield _run(model, video, group)


def _run(model: VideoModel, video: Path, group: StreamGroup) -> tuple[float, float]:
    ready = threading.Barrier(group.streams)  # all wait here until each has given its first results
    over = threading.Event()  # the first that is done ends it for all: from then on they would not be as many

    def stream() -> list[float]:
        """When it went on from the barrier, and when it gave each result since."""
        try:
            with closing(segment(open_street(video, group.size), model, edges="off")) as results:  # type: ignore[type-var]
                for _ in islice(results, DROPPED):
                    pass
                ready.wait()
                stamps = [time.perf_counter()]
                while len(stamps) <= group.frames and not over.is_set():
                    next(results)
                    stamps.append(time.perf_counter())
            return stamps
        except threading.BrokenBarrierError:  # another one failed
            return []
        except BaseException:
            ready.abort()
            raise
        finally:
            over.set()

    with ThreadPoolExecutor(group.streams) as threads:
        running = [threads.submit(stream) for _ in range(group.streams)]
        most = resident_mib()
        try:
            while not over.wait(0.05):
                most = max(most, resident_mib())
        finally:
            over.set()
        most = max(most, resident_mib())
    return rate_of([each.result() for each in running], group.frames), most


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


def measure_memory(request: Request, tell: Progress, runner: Runner) -> Iterator[Found]:
    """Rows for each model: along a video, with several, and what that comes to."""
    amounts = request.amounts
    size = amounts.small_size
    with tempfile.TemporaryDirectory(prefix="netwarp-benchmark-") as folder:
        for around in models_around(SMALL, request):
            names = {"network": SMALL.title, "size": size, "model": around.name}
            tell(f"{around.name}: {max(amounts.lengths)} frames")
            by_length: dict[int, float] = {}
            for frames, mib in runner(memory_along, around, request, Path(folder)):
                by_length[frames] = mib
                yield "by_length", names | {"frames": frames, "resident_mib": mib}
            by_streams: dict[int, float] = {}
            for streams in amounts.groups:
                tell(f"{around.name}: {streams} streams")
                group = StreamGroup(SMALL, around, size, streams, max(1, amounts.lengths[0] // 2))
                for _, mib in runner(run_group, group, request, Path(folder)):
                    by_streams[streams] = mib
                    yield "by_streams", names | {"streams": streams, "resident_mib": mib}
            yield (
                "slopes",
                names | {"mib_per_1000_frames": 1000 * slope(by_length), "mib_per_stream": slope(by_streams)},
            )


def memory_along(around: Around, request: Request, folder: Path, tell: Progress) -> Iterator[tuple[int, float]]:
    """Frames so far, and the memory of this process then."""
    size, lengths = request.amounts.small_size, request.amounts.lengths
    base, video = prepare(SMALL, request, folder, size, max(lengths))
    model = around.build(base, request.flow)
    with closing(segment(open_street(video, size), model, edges="off")) as results:  # type: ignore[type-var]
        for number, _ in enumerate(islice(results, max(lengths)), 1):
            if number % 50 == 0:
                tell(f"{around.name}: frame {number} of {max(lengths)}")
            if number in lengths:
                yield number, resident_mib()


def slope(values: Mapping[int, float]) -> float:
    """Of the straight line nearest to values at some places (least squares).

    >>> round(slope({1: 10.0, 2: 12.0, 4: 16.0}), 6)
    2.0
    """
    return float(np.polyfit(list(values), list(values.values()), 1)[0])


def resident_mib() -> float:
    """Resident memory of this process in MiB; where the system does not tell the present value, the largest so far."""
    statm = Path("/proc/self/statm")
    if statm.is_file():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB
    import resource

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / MIB if sys.platform == "darwin" else largest / 1024
