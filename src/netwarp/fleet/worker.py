"""A worker: a process that holds the model and does one video after another. The same with and without a cluster."""

from __future__ import annotations

import logging.handlers
import os
import queue
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from netwarp.errors import ConfigurationError, InputError, NetWarpError, OutputError
from netwarp.fleet.cache import Cache
from netwarp.fleet.sources import Video
from netwarp.fleet.store import STATUS, LocalStore, open_store

if TYPE_CHECKING:
    from netwarp.inference.render import Rendered

KINDS = {"video": ".mp4", "masks": "", "confidence": ".confidence", "areas": ".areas.csv", "rle": ".rle.json"}
"""What can be written of a video, as :func:`netwarp.inference.render.render` calls it, and what ends its name then."""

FOLDERS = ("masks", "confidence")
"""Those of them that are folders of images."""

Advance = Callable[[int, "int | None"], None]
"""Called with the number of frames done, and of all of them where that is known."""


Render = Callable[["str | list[str]", dict[str, Path], Advance], "Rendered"]
"""Segments a file, or images, and writes what :data:`KINDS` name to its place; keeps the model."""

Job = Callable[["str | None"], tuple[str, Render]]
"""Makes ready on a device: what stands for the weights, and what segments. It travels to workers."""


@dataclass(frozen=True)
class Plan:
    """All that a worker needs to know."""

    job: Job
    out: str  # as for open_store
    token: str  # of this run, in the state file: who does not see it has another OUT
    kinds: tuple[str, ...]  # of KINDS
    cache: str  # folder
    cache_limit: int  # bytes
    threads: int | None  # of torch; None for its own number
    current: str  # the current folder, which paths begin in


@dataclass(frozen=True)
class Ready:
    """A worker has its model."""

    weights: str
    worker: str  # host and process
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Progress:
    """Frames of the present video that are done, and all of them where that is known."""

    frames: int
    total: int | None


@dataclass(frozen=True)
class Outcome:
    """How a video ended: ``done``, ``damaged`` (what could be read is written) or ``failed``."""

    state: str
    frames: int = 0
    keyframes: float = 0.0
    seconds: float = 0.0
    fault: str | None = None
    general: bool = False  # whether the fault may be that of the options and not of the video
    outputs: tuple[str, ...] = ()  # names in the store
    warnings: tuple[str, ...] = ()


class Worker:
    """Does videos by a plan."""

    def __init__(self, plan: Plan, device: str | None) -> None:
        self._plan, self._device = plan, device
        self._said = logging.handlers.BufferingHandler(sys.maxsize)  # a worker has no terminal
        self._said.setLevel(logging.WARNING)
        self._progress = Progress(0, None)
        # Threads that wait for the next operation would otherwise spin; torch reads it when it is first imported.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    def prepare(self) -> Ready:
        """Load the model. Raises NetWarpError."""
        plan, who = self._plan, f"{socket.gethostname()}:{os.getpid()}"
        if Path(plan.current).is_dir():
            os.chdir(plan.current)
        logging.getLogger("netwarp").addHandler(self._said)
        self._store, self._cache = open_store(plan.out), Cache(Path(plan.cache), plan.cache_limit)
        if isinstance(self._store, LocalStore) and (self._store.read_json(STATUS) or {}).get("token") != plan.token:
            raise ConfigurationError(
                f"{who} does not see the folder {plan.out} as it is here: name a folder that all machines share, or an "
                "address such as s3://BUCKET/OUT"
            )
        if plan.threads is not None:
            import torch

            torch.set_num_threads(plan.threads)
        weights, self._render = plan.job(self._device)
        return Ready(weights, who, self._warnings())

    def do(self, video: Video) -> Iterator[Progress | Outcome]:
        """Do a video: progress, and at last the outcome. What is raised is no fault that is known of."""
        self._progress = Progress(0, None)
        ended: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
        threading.Thread(target=self._do, args=(video, ended), daemon=True).start()
        while True:
            try:
                end = ended.get(timeout=0.5)
            except queue.Empty:
                yield self._progress  # also where there is none: it shows whether anybody listens
                continue
            if not isinstance(end, Outcome):
                raise end
            yield end
            return

    def _warnings(self) -> tuple[str, ...]:
        """Those since the last time."""
        texts = tuple(dict.fromkeys(record.getMessage() for record in self._said.buffer))
        self._said.flush()
        return texts

    def _advance(self, frames: int, total: int | None) -> None:
        self._progress = Progress(frames, total)

    def _do(self, video: Video, ended: queue.SimpleQueue[Outcome | BaseException]) -> None:
        names = {kind: f"{video.name}{KINDS[kind]}" for kind in self._plan.kinds}
        known: dict[str, str] = {}  # what a user calls the files that work is done on

        def told(text: str) -> str:
            for own, theirs in known.items():
                text = text.replace(own, theirs)
            return text

        try:
            for kind, name in names.items():
                if kind in FOLDERS:
                    self._store.check(name)
            with self._cache.fetched(video) as local, self._store.workspace() as place:
                places = {kind: place / f"{kind}{KINDS[kind]}" for kind in names}
                known |= {str(places[kind]): f"{self._store}/{name}" for kind, name in names.items()}
                known |= {local: video.address} if isinstance(local, str) else {}
                done = self._render(local, places, self._advance)
                for kind, name in names.items():
                    self._store.deliver(places[kind], name)
            outcome = Outcome(
                "damaged" if done.damage else "done", done.frames, done.keyframes, done.seconds,
                done.damage and told(done.damage), outputs=tuple(names.values()),
            )  # fmt: skip
        except NetWarpError as error:
            general = not isinstance(error, (InputError, OutputError))
            text = error.worded(lambda option: f"--{option.replace('_', '-')}")
            outcome = Outcome("failed", fault=told(text), general=general)
        except BaseException as error:
            ended.put(error)
            return
        ended.put(replace(outcome, warnings=tuple(map(told, self._warnings()))))
