"""Units in several processes of one thread each; killed at any moment, what was done stays done."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from netwarp.errors import NetWarpError
from netwarp.lab.study.store import Store, Unit, UnitScores
from netwarp.lab.study.study_context import StudyContext, StudyInputs


def run_units(
    units: Sequence[Unit], inputs: StudyInputs, store: Store, jobs: int, on_done: Callable[[UnitScores], None]
) -> list[UnitScores]:
    """Do what was not done before."""
    done: dict[Unit, UnitScores] = {}

    def finish(unit: Unit, figures: UnitScores) -> None:
        done[unit] = figures
        on_done(figures)

    for unit in units:
        if (kept := store.load(unit)) is not None:
            finish(unit, kept)
    left = [unit for unit in units if unit not in done]
    if min(jobs, len(left)) > 1:
        _in_processes(left, inputs, store, min(jobs, len(left)), finish)
    elif left:
        with StudyContext(inputs) as context:
            for unit in left:
                finish(unit, context.do(unit, store))
    return [done[unit] for unit in units]


@dataclass(frozen=True)
class _Worker:
    process: BaseProcess
    connection: Connection


def _in_processes(
    units: Sequence[Unit], inputs: StudyInputs, store: Store, jobs: int, finish: Callable[[Unit, UnitScores], None]
) -> None:
    workers = [_start(inputs, store) for _ in range(jobs)]
    left = deque(units)
    busy: dict[Connection, Unit] = {}
    try:
        for worker in workers:
            _hand_out(worker.connection, left, busy)
        while busy:
            for ready in wait(list(busy)):
                assert isinstance(ready, Connection)
                unit = busy.pop(ready)
                finish(unit, _answer(ready, unit))
                _hand_out(ready, left, busy)
    finally:
        for worker in workers:
            worker.connection.close()  # whoever waits for work sees it and goes
            if worker.connection in busy:
                worker.process.kill()
        for worker in workers:
            worker.process.join()


def _start(inputs: StudyInputs, store: Store) -> _Worker:
    # Spawned: a fork of a process with threads may hang.
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_work, args=(inputs, store, there), daemon=True)
    process.start()
    there.close()
    return _Worker(process, here)


def _hand_out(connection: Connection, left: deque[Unit], busy: dict[Connection, Unit]) -> None:
    if left:
        busy[connection] = left.popleft()
        with contextlib.suppress(BrokenPipeError):  # a process that died is noticed where its answer is awaited
            connection.send(busy[connection])


def _answer(connection: Connection, unit: Unit) -> UnitScores:
    try:
        answer = connection.recv()
    except (EOFError, ConnectionResetError):
        raise NetWarpError(
            f"the process that worked on {unit.row.name!r} died, perhaps for want of memory: "
            "run the command again, with fewer --jobs, and it goes on where it was"
        ) from None
    if isinstance(answer, BaseException):
        raise answer
    assert isinstance(answer, UnitScores)
    return answer


def _work(inputs: StudyInputs, store: Store, connection: Connection) -> None:
    """Do units until there are no more, or the process that hands them out is gone."""
    import cv2
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the first process's business
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    context: StudyContext | None = None
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            unit = connection.recv()
            try:
                context = context or StudyContext(inputs)
                answer: UnitScores | Exception = context.do(unit, store)
            except NetWarpError as error:
                answer = error
            except Exception as error:  # which might not travel to another process
                answer = NetWarpError(f"{unit.row.name!r} failed with {type(error).__name__}: {error}")
            connection.send(answer)
