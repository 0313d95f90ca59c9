"""Who does which video: to workers that are ready, one at a time, and again where one died of it or by chance."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from netwarp.errors import ConfigurationError, NetWarpError
from netwarp.fleet.pools import Lost, Pool
from netwarp.fleet.sources import Video
from netwarp.fleet.worker import Outcome, Progress, Ready

log = logging.getLogger("netwarp")

ATTEMPTS = 3
"""Workers that may die over a video before it is set aside, or one after another before any was ever ready."""

PAUSE = 5.0
"""Seconds without a new worker after several that died before they were ready."""

TICK = 0.5
"""Seconds between two looks at how far everybody is."""


@dataclass
class Seat:
    """A worker, as it is seen from here."""

    ready: Ready | None = None
    video: Video | None = None
    progress: Progress = field(default_factory=lambda: Progress(0, None))
    done: int = 0  # videos


class Scheduler:
    """Gives videos to the workers of a pool.

    ``begin`` is called once, when the first is ready, and gives the videos that are left to be done; ``keep`` with
    every video that came to an end, how, its worker and the number of attempts; ``watch`` again and again.
    """

    def __init__(
        self,
        pool: Pool,
        begin: Callable[[str], Sequence[Video]],
        keep: Callable[[Video, Outcome, str, int], None],
        watch: Callable[[Mapping[int, Seat]], None],
    ) -> None:
        self._pool, self._begin, self._keep, self._watch = pool, begin, keep, watch
        self._seats: dict[int, Seat] = {}
        self._left: deque[Video] | None = None  # None until it is known which weights these are
        self._weights = ""
        self._deaths = Counter[Video]()
        self._stillborn = 0  # workers that died before any was ready
        self._refused: list[NetWarpError] = []  # what workers said that cannot be
        self._not_before = 0.0  # when the next may start
        self._general: int | None = 0  # videos that failed, as the options may be to blame; None after one that did not

    def run(self, most: int) -> None:
        """Do all videos, of which there are ``most``. Raises NetWarpError where none can be done."""
        waiting = False
        while self._left is None or self._left or self._busy():
            needed = most if self._left is None else len(self._left) + self._busy()
            needed = min(needed, self._pool.room() - len(self._refused))
            while len(self._seats) < needed and time.monotonic() >= self._not_before:
                self._seats[self._pool.start()] = Seat()
            if not self._seats:
                if self._refused and needed <= 0:  # and machines that others would have been on are gone
                    raise self._refused[-1]
                if not waiting:
                    log.warning("no worker is left: waiting for a machine that takes one")
                waiting = True
                time.sleep(TICK)
            else:
                waiting = False
                for number, event in self._pool.events(TICK):
                    self._take(number, event)
            for number, seat in self._seats.items():
                if seat.ready and seat.video is None and self._left:
                    seat.video, seat.progress = self._left.popleft(), Progress(0, None)
                    self._pool.give(number, seat.video)
            self._watch(self._seats)

    def _busy(self) -> int:
        return sum(seat.video is not None for seat in self._seats.values())

    def _take(self, number: int, event: Ready | Progress | Outcome | Lost) -> None:
        seat = self._seats[number]
        if isinstance(event, Ready):
            self._welcome(seat, event)
        elif isinstance(event, Progress):
            seat.progress = event
        elif isinstance(event, Outcome):
            assert seat.video is not None
            video, seat.video = seat.video, None
            seat.done += 1
            self._end(video, event, seat)
        else:
            del self._seats[number]
            if seat.video is not None:
                self._mourn(seat.video, event, seat)
            elif seat.ready is None:
                self._go_without(event)

    def _welcome(self, seat: Seat, ready: Ready) -> None:
        seat.ready, self._stillborn = ready, 0
        for text in ready.warnings:
            log.warning("%s", text)
        if self._left is None:
            self._weights = ready.weights
            self._left = deque(self._begin(ready.weights))
        elif ready.weights != self._weights:
            raise ConfigurationError(
                f"the weights of {ready.worker} are others than those of the first worker: give all machines the same "
                "file (--model, --weights)"
            )

    def _go_without(self, lost: Lost) -> None:
        """A worker was lost before it was ready."""
        if lost.error is not None:  # it would say so again
            self._refused.append(lost.error)
            if not self._seats:
                raise lost.error
            log.warning("a worker less: %s", lost.why)
            return
        self._stillborn += 1
        if self._left is None and self._stillborn >= ATTEMPTS:
            raise NetWarpError(f"no worker gets ready ({lost.why}): try 'netwarp segment' on one video")
        self._not_before = time.monotonic() + (PAUSE if self._stillborn >= ATTEMPTS else 0)

    def _mourn(self, video: Video, lost: Lost, seat: Seat) -> None:
        self._deaths[video] += 1
        assert self._left is not None
        if self._deaths[video] < ATTEMPTS:
            self._left.append(video)  # behind those that may be innocent
        else:
            self._end(video, Outcome("set aside", fault=f"{lost.why}, {ATTEMPTS} times: set aside"), seat)

    def _end(self, video: Video, outcome: Outcome, seat: Seat) -> None:
        assert seat.ready is not None
        attempts = self._deaths[video] + (outcome.state != "set aside")
        self._keep(video, outcome, seat.ready.worker, attempts)
        self._general = self._general + 1 if outcome.general and self._general is not None else None
        if self._general == ATTEMPTS:
            raise ConfigurationError(f"{outcome.fault} (so of the first {ATTEMPTS} videos: none was done)")
