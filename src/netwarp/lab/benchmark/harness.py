"""Times that can be compared: functions that take turns, medians of rounds, ratios within rounds."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import statistics
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import torch

from netwarp.errors import NetWarpError

MIB = 2**20


def resident_mib() -> float:
    """Resident memory of this process in MiB; where the system does not tell the present value, the largest so far."""
    statm = Path("/proc/self/statm")
    if statm.is_file():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB
    import resource

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / MIB if sys.platform == "darwin" else largest / 1024


log = logging.getLogger("netwarp")

GRACE = 10.0
"""Seconds that a process has to end and leave nothing behind."""

Progress = Callable[[str], None]
"""Called with what is being done, for whoever watches."""

Runner = Callable[..., Iterator[Any]]
"""``apart(tell, threads, function, *arguments)`` yields what ``function(*arguments, tell)`` yields; see
:func:`in_own_process`."""


def in_own_process(
    tell: Progress, threads: int | None, function: Callable[..., Iterator[Any]], *arguments: object
) -> Iterator[Any]:
    """Run a generator in a new process, which ends with it.

    As any generator it does nothing before it is asked for a value, and nothing after that until it is asked for the
    next: several of them can take turns.
    """
    # Spawned: a fork has this process's memory, and hangs where this one has threads.
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, threads, function, arguments), daemon=True)
    with _interrupts_held():
        process.start()
    theirs.close()
    busy = True
    try:
        while True:
            kind, value = _next(mine, tell)
            busy = False
            if kind == "done":
                return
            if kind == "failed":
                raise value
            yield value
            busy = True
    finally:
        mine.close()  # which ends it where it waits
        if busy:
            process.terminate()
        process.join(GRACE)
        process.kill()
        process.join()


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C comes after the block; who is started in it gets none, also before it can say that it wants none."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def here(
    tell: Progress, threads: int | None, function: Callable[..., Iterator[Any]], *arguments: object
) -> Iterator[Any]:
    """The same in this process, whose threads stay as they are."""
    yield from function(*arguments, tell)


def _next(connection: Connection, tell: Progress) -> tuple[str, Any]:
    """Ask for the next value, and pass on what is said until it comes."""
    try:
        connection.send("next")
        while True:
            kind, value = connection.recv()
            if kind == "told":
                tell(value)
            elif kind == "logged":
                log.log(*value)
            else:
                return kind, value
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise NetWarpError(
            "a process that measured died, perhaps for want of memory: measure fewer parts or networks at once"
        ) from None


def _work(
    connection: Connection, threads: int | None, function: Callable[..., Iterator[Any]], arguments: tuple[object, ...]
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the first process's business
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    warnings.simplefilter("ignore")
    logging.getLogger("torch").setLevel(logging.ERROR)
    one_at_a_time = threading.Lock()

    def send(kind: str, value: object) -> None:
        with one_at_a_time:
            connection.send((kind, value))

    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the first process is gone
        log.addHandler(_Forwarding(send))
        try:
            connection.recv()
            if threads is not None:
                _use(threads)
            for value in function(*arguments, lambda text: send("told", text)):
                send("made", value)
                connection.recv()
            send("done", None)
        except NetWarpError as error:
            send("failed", error)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:  # which might not travel to another process
            failure = NetWarpError(f"measuring failed with {type(error).__name__}: {error}")
            failure.add_note(traceback.format_exc())
            send("failed", failure)


class _Forwarding(logging.Handler):
    """Warnings go to the first process; events such as a scene cut are of no interest here."""

    def __init__(self, send: Callable[[str, object], None]) -> None:
        super().__init__(logging.WARNING)
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send("logged", (record.levelno, record.getMessage()))


def _use(threads: int) -> None:
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


Item = TypeVar("Item")

Clock = Callable[[Callable[[], object], int], float]
"""Runs a function so many times and gives the seconds of one run."""

WORTH = 2e-3
"""Seconds that a function is repeated for within a round, as a single run of microseconds says little."""

MOST = 200


@dataclass(frozen=True)
class Rounds:
    """What took how long, round by round."""

    seconds: Mapping[str, Sequence[float]]  # of each function, one value a round

    def ms(self, name: str) -> float:
        """Median over rounds, in milliseconds."""
        return 1000 * statistics.median(self.seconds[name])

    def ratio(self, name: str, to: str) -> float:
        """Median of the rounds' ratios: what a machine that slows down for a while disturbs least."""
        return statistics.median(a / b for a, b in zip(self.seconds[name], self.seconds[to], strict=True))

    def ms_of(self, name: str) -> float | None:
        """:meth:`ms`, or None where that took no part."""
        return self.ms(name) if name in self.seconds else None

    def ratio_of(self, name: str, to: str) -> float | None:
        """:meth:`ratio`, or None where one took no part."""
        return self.ratio(name, to) if name in self.seconds and to in self.seconds else None


def alternating(functions: Mapping[str, Callable[[], object]], rounds: int, clock: Clock) -> Rounds:
    """Time functions in turn, each round beginning with another one.

    Each runs twice before: once for all that happens only once, once to see how often a round has to repeat it.
    """
    repeats = {}
    for name, function in functions.items():
        clock(function, 1)
        repeats[name] = max(1, min(MOST, int(WORTH / max(clock(function, 1), 1e-9))))
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(rounds):
        for name in in_turn(list(functions), number):
            seconds[name].append(clock(functions[name], repeats[name]))
    return Rounds(seconds)


def in_turn(items: Sequence[Item], number: int) -> list[Item]:
    """The order of a round, so that none always follows the same one's heat and cache.

    >>> in_turn(["a", "b", "c"], 1)
    ['b', 'c', 'a']
    """
    first = number % len(items)
    return [*items[first:], *items[:first]]


def clock_for(device: str, cpu_time: bool = False) -> Clock:
    """What times on a device: a GPU's own events, else the wall's clock."""
    if torch.device(device).type == "cuda":
        return _events(torch.device(device))
    return _reading(time.process_time if cpu_time else time.perf_counter)


def _reading(now: Callable[[], float]) -> Clock:
    def clock(function: Callable[[], object], repeats: int) -> float:
        began = now()
        for _ in range(repeats):
            function()
        return (now() - began) / repeats

    return clock


def _events(device: torch.device) -> Clock:
    def clock(function: Callable[[], object], repeats: int) -> float:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        with torch.cuda.device(device):
            torch.cuda.synchronize()
            begin.record()
            for _ in range(repeats):
                function()
            end.record()
            end.synchronize()
        return float(begin.elapsed_time(end)) / 1000 / repeats

    return clock
