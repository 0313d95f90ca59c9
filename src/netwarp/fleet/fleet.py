"""A fleet: everything from the listed inputs to the tables of what was done."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from netwarp.errors import InputError, OutputError
from netwarp.fleet.addresses import is_remote
from netwarp.fleet.pools import Pool
from netwarp.fleet.records import Ledger, Record, write_tables
from netwarp.fleet.scheduler import Scheduler, Seat
from netwarp.fleet.sources import Listing, Video
from netwarp.fleet.store import STATUS, LocalStore, Store
from netwarp.fleet.worker import KINDS, Outcome

Show = Callable[[Mapping[str, Any]], None]
"""Called again and again with what is in the state file."""


@dataclass
class Fleet:
    """Listed inputs, the store that their results go into, and what they are done with."""

    listing: Listing
    store: Store
    ledger: Ledger
    token: str
    show: Show
    records: dict[str, Record] = field(default_factory=dict)  # by name
    skipped: int = 0  # finished before
    _began: float = field(default_factory=time.time)
    _told: float = 0.0

    def run(self, pool: Pool) -> list[Record]:
        """Do what is not finished; the records of all inputs, in their order. The store is claimed meanwhile."""
        self._tell({}, ended=False)
        try:
            with pool:
                Scheduler(pool, self._begin, self._keep, self._watch).run(len(self.listing.videos))
        except BaseException:
            with contextlib.suppress(OutputError):  # which is not what went wrong first
                self._end()
            raise
        return self._end()

    def _end(self) -> list[Record]:
        records = [self.records[v.name] for v in self.listing.videos if v.name in self.records]
        records += [Record(text, text, "missing", fault=why) for text, why in self.listing.missing.items()]
        try:
            if self.ledger.weights:
                write_tables(self.store, self.ledger, records)
        finally:
            with contextlib.suppress(OutputError):
                self._tell({}, ended=True)
        return records

    def _begin(self, weights: str) -> Sequence[Video]:
        self.ledger.open(weights)
        before = self.ledger.finished(self.listing.videos)
        self.records = {video.name: record for video, record in before.items()}
        self.skipped = len(before)
        return [video for video in self.listing.videos if video not in before]

    def _keep(self, video: Video, outcome: Outcome, worker: str, attempts: int) -> None:
        self.records[video.name] = self.ledger.keep(video, outcome, worker, attempts)

    def _watch(self, seats: Mapping[int, Seat]) -> None:
        if time.time() - self._told >= (1.0 if isinstance(self.store, LocalStore) else 10.0):
            self._tell(seats, ended=False)
        self.show(self._status(seats, ended=False))

    def _tell(self, seats: Mapping[int, Seat], *, ended: bool) -> None:
        self._told = time.time()
        self.store.write_json(STATUS, self._status(seats, ended=ended))

    def _status(self, seats: Mapping[int, Seat], *, ended: bool) -> dict[str, Any]:
        return {
            "by": f"{socket.gethostname()}:{os.getpid()}",
            "token": self.token,
            "began": self._began,
            "updated": time.time(),
            "ended": ended,
            "videos": len(self.listing.videos),
            "ended_videos": len(self.records),
            "skipped": self.skipped,
            "faults": sum(record.fault is not None for record in self.records.values()),
            "missing": len(self.listing.missing),
            "frames": sum(record.frames for record in self.records.values()),
            "workers": [
                {
                    "number": number,
                    "worker": seat.ready.worker if seat.ready else None,
                    "video": seat.video.name if seat.video else None,
                    "frames": seat.progress.frames,
                    "of": seat.progress.total,
                    "done": seat.done,
                }
                for number, seat in seats.items()
            ],
        }


def check_listing(listing: Listing, store: Store, kinds: Sequence[str]) -> None:
    """See that there are videos, and that no result would take the place of one."""
    if not listing.videos:
        for text, why in listing.missing.items():
            raise InputError(f"{text} {why}: give videos, folders or lists of them")
        raise InputError(f"INPUT holds nothing but what lies in OUT, {store}: name another OUT")
    inputs = {_real(path) for video in listing.videos for path in (video.address, *video.images)}
    for video in listing.videos:
        for place in (f"{store}/{video.name}{KINDS[kind]}" for kind in kinds):
            if _real(place) in inputs:
                raise OutputError(f"{place} is an input, which would be overwritten: name another OUT")


def _real(address: str) -> str:
    return address if is_remote(address) else os.path.realpath(address)
