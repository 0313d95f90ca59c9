"""Where workers are: processes of this machine, or actors of a Ray cluster."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import re
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol, Self, cast

from netwarp.errors import ConfigurationError, NetWarpError, needs_extra, reason_of
from netwarp.fleet.sources import Video
from netwarp.fleet.worker import Outcome, Plan, Progress, Ready, Worker


@dataclass(frozen=True)
class Lost:
    """A worker is gone, and why; ``error`` where it could not make ready and said so."""

    why: str
    error: NetWarpError | None = None


Event = Ready | Progress | Outcome | Lost


class Pool(Protocol):
    """Workers, called by numbers; a context manager that ends them all."""

    def room(self) -> int:
        """How many workers there can be just now."""

    def start(self) -> int:
        """Start a worker, which says by an event when it is ready, and give its number."""

    def give(self, worker: int, video: Video) -> None:
        """Let a worker that is ready do a video."""

    def events(self, seconds: float) -> list[tuple[int, Event]]:
        """What workers say; waits for so long if none does."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class LocalPool:
    """A process for each of some devices; None is what the plan's options say."""

    def __init__(self, plan: Plan, devices: Sequence[str | None]) -> None:
        self._plan, self._devices = plan, devices
        self._workers: dict[int, tuple[Connection, BaseProcess]] = {}
        self._place: dict[int, int] = {}  # in devices
        self._started = 0

    def room(self) -> int:
        """See :class:`Pool`."""
        return len(self._devices)

    def start(self) -> int:
        """See :class:`Pool`."""
        spawning = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
        here, there = spawning.Pipe()
        self._started += 1
        number = self._started
        self._place[number] = next(i for i in range(len(self._devices)) if i not in self._place.values())
        arguments = (self._plan, self._devices[self._place[number]], there)
        process = spawning.Process(target=_serve, args=arguments, daemon=True)
        process.start()
        there.close()
        self._workers[number] = here, process
        return number

    def give(self, worker: int, video: Video) -> None:
        """See :class:`Pool`."""
        with contextlib.suppress(OSError):  # that it died is noticed where it should speak
            self._workers[worker][0].send(video)

    def events(self, seconds: float) -> list[tuple[int, Event]]:
        """See :class:`Pool`."""
        numbers = {connection: number for number, (connection, _) in self._workers.items()}
        return [(numbers[c], self._heard(numbers[c], c)) for c in cast(list[Connection], wait(list(numbers), seconds))]

    def _heard(self, number: int, connection: Connection) -> Event:
        try:
            event: Event = connection.recv()
        except (EOFError, OSError):
            event = Lost("its worker died")
        if isinstance(event, Lost):
            code = self._end(number)
            if event.why == "its worker died" and code is not None and code < 0:
                return Lost(f"its worker died ({signal.Signals(-code).name})")
        return event

    def _end(self, number: int) -> int | None:
        connection, process = self._workers.pop(number)
        del self._place[number]
        connection.close()
        process.kill()
        process.join()  # what it had locked is free then
        return process.exitcode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for number in list(self._workers):
            self._end(number)


def _serve(plan: Plan, device: str | None, connection: Connection) -> None:
    """Do what comes until there is no more, or the process that sends it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the first process's business
    with contextlib.suppress(EOFError, OSError):
        try:
            worker = Worker(plan, device)
            connection.send(worker.prepare())
            while True:
                video = connection.recv()
                for said in worker.do(video):
                    connection.send(said)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            os._exit(0)  # in the middle of a video too
        except BaseException as error:
            connection.send(lost_by(error))


def lost_by(error: BaseException) -> Lost:
    """What an exception in a worker means."""
    if isinstance(error, NetWarpError):
        return Lost(str(error), error)
    return Lost(f"unexpected {type(error).__name__}: {reason_of(error)}")


class RayPool:
    """An actor for each device of a Ray cluster: a GPU, or as many cores as a worker has threads."""

    def __init__(self, plan: Plan, address: str, *, gpus: bool | None, threads: int, workers: int | None) -> None:
        with needs_extra("ray", "cluster", "--cluster"):
            import ray
        self._plan, self._address = plan, address
        self._ray: Any = ray
        self._gpus, self._threads, self._most = gpus, threads, workers
        self._actors: dict[int, Any] = {}
        self._said: dict[Any, int] = {}  # what is waited for: a reference, or a generator of them
        self._started = 0
        self._quiet = contextlib.ExitStack()

    def __enter__(self) -> Self:
        nothing = self._quiet.enter_context(open(os.devnull, "w"))  # noqa: PTH123
        self._quiet.enter_context(contextlib.redirect_stdout(nothing))  # Ray tells there what is told better here
        try:
            self._ray.init(self._address, log_to_driver=False, logging_level=logging.CRITICAL, configure_logging=True)
            nodes = self._nodes()
        except Exception as error:
            self._quiet.close()
            raise ConfigurationError(
                f"no Ray cluster answers at {self._address} ({reason_of(error)}): start one ('ray start --head'), or "
                "leave --cluster out"
            ) from error
        if self._gpus is None:
            self._gpus = any(node.get("GPU", 0) >= 1 for node in nodes)
        if not self._gpus:  # where all nodes have fewer cores, workers have fewer threads
            self._threads = min(self._threads, max(max(int(node.get("CPU", 0)) for node in nodes), 1))
        if not self.room():
            self.__exit__()
            what = "GPU" if self._gpus else "core"
            raise ConfigurationError(
                f"no node of the cluster at {self._address} has a {what}: start one, or say with --workers how many to "
                "wait for"
            )
        return self

    def _nodes(self) -> list[dict[str, float]]:
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def room(self) -> int:
        """See :class:`Pool`. It grows and shrinks with the cluster, unless the number of workers was given."""
        if self._most is not None:
            return self._most
        what, each = ("GPU", 1) if self._gpus else ("CPU", self._threads)
        return sum(int(node.get(what, 0)) // each for node in self._nodes())

    def start(self) -> int:
        """See :class:`Pool`."""
        needs: dict[str, Any] = {"num_gpus": 1} if self._gpus else {"num_cpus": self._threads}
        # A dead one is replaced by another: while Ray starts one anew, calls to it fail at once, one after another.
        actor = self._ray.remote(max_restarts=0, max_task_retries=0, **needs)(Worker).remote(
            replace(self._plan, threads=self._threads),
            "cuda" if self._gpus else None,  # Ray's own number is 1
        )
        self._started += 1
        self._actors[self._started] = actor
        self._said[actor.prepare.remote()] = self._started
        return self._started

    def give(self, worker: int, video: Video) -> None:
        """See :class:`Pool`."""
        said = self._actors[worker].do.options(num_returns="streaming").remote(video)
        self._said[said] = worker

    def events(self, seconds: float) -> list[tuple[int, Event]]:
        """See :class:`Pool`."""
        waiting = list(self._said)
        if not waiting:
            return []
        ready, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=0)
        if not ready:
            ready, _ = self._ray.wait(waiting, num_returns=1, timeout=seconds)
        return [(number, event) for each in ready for number, event in self._heard(each)]

    def _heard(self, each: Any) -> Iterator[tuple[int, Event]]:  # noqa: ANN401 - a reference or a generator
        number = self._said[each]
        once = isinstance(each, self._ray.ObjectRef)
        try:
            event: Event = self._ray.get(each if once else next(each))
        except self._ray.exceptions.RayTaskError as error:
            event = lost_by(error.cause if isinstance(error.cause, Exception) else error)
        except (self._ray.exceptions.RayError, StopIteration) as error:
            event = Lost(_cause(error))
        if once or isinstance(event, (Outcome, Lost)):
            del self._said[each]
        if isinstance(event, Lost):
            self._ray.kill(self._actors.pop(number))  # also where it lives and is only out of reach
        yield number, event

    def __exit__(self, *_: object) -> None:
        for actor in self._actors.values():
            with contextlib.suppress(Exception):
                self._ray.kill(actor)
        self._ray.shutdown()
        self._quiet.close()


def _cause(error: BaseException) -> str:
    """What a death on a cluster is told as: of an exception in the worker that, in the end of a long text."""
    told = [line for line in str(error).splitlines() if re.match(r"\w+(Error|Exception): ", line)]
    return f"its worker or node died ({told[-1]})" if told else "its worker or node died"
