"""What was done, video by video: a record each, by which a fleet that is started again goes on, and tables of them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from typing import Any

from netwarp._version import __version__
from netwarp.errors import ConfigurationError
from netwarp.fleet.sources import Video
from netwarp.fleet.store import OWN, Store, record_place
from netwarp.fleet.worker import Outcome

FINISHED = ("done", "damaged")
"""States after which a video is not tried again as long as it stays as it is."""

_COLUMNS = (
    *("name", "state", "frames", "seconds", "frames_per_second", "keyframe_share", "fault"),
    *("worker", "attempts", "address"),
)


@dataclass(frozen=True)
class Record:
    """What became of a video."""

    name: str
    address: str
    state: str  # done, damaged (what could be read is written), failed, set aside or missing
    frames: int = 0
    seconds: float = 0.0
    frames_per_second: float | None = None
    keyframe_share: float | None = None  # of the frames, those that the network ran on
    fault: str | None = None
    warnings: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()  # files and folders below OUT
    worker: str = ""
    attempts: int = 1
    size: int | None = None  # of the input, in bytes
    version: str = ""  # of the input: its time or ETag
    run: str = ""  # stands for settings, weights and how often all of it was done anew


class Ledger:
    """The records in a store, and which model and settings they are of."""

    def __init__(self, store: Store, settings: Mapping[str, Any], *, redo: bool) -> None:
        self._store, self._redo = store, redo
        self.settings = json.loads(json.dumps(settings))
        self.weights = ""
        self._run = ""

    def open(self, weights: str) -> None:
        """See that what is in the store is of the same weights and settings. Raises ConfigurationError."""
        kept = self._store.read_json(f"{OWN}/run.json") or {}
        again = int(kept.get("again", 0))
        if self._redo and kept:
            again += 1
        elif kept and (kept.get("weights"), kept.get("settings")) != (weights, self.settings):
            raise ConfigurationError(
                f"{self._store} holds results of {_difference(kept, weights, self.settings)}: give --redo to do all "
                "anew, or name another OUT"
            )
        self.weights = weights
        self._described = {"weights": weights, "settings": self.settings, "again": again}
        self._run = hashlib.sha256(json.dumps(self._described, sort_keys=True).encode()).hexdigest()[:16]
        self._told = self._described == kept
        if self._redo and kept:  # before the first result of before is replaced
            self._tell()

    def _tell(self) -> None:
        self._store.write_json(f"{OWN}/run.json", self._described)
        self._told = True

    def finished(self, videos: Sequence[Video]) -> dict[Video, Record]:
        """The records of those that are finished, have not changed since, and whose results are there."""
        found = {}
        names = {field.name for field in fields(Record)}
        for video, kept in zip(videos, self._store.read_each(map(_place, videos)), strict=True):
            wanted = {"address": video.address, "size": video.size, "version": video.version, "run": self._run}
            if kept and kept.get("state") in FINISHED and all(kept.get(name) == wanted[name] for name in wanted):
                found[video] = Record(**{k: v for k, v in kept.items() if k in names} | {"name": video.name})
        with ThreadPoolExecutor(16) as pool:
            there = pool.map(lambda record: all(map(self._store.holds, record.outputs)), found.values())
            return {video: record for (video, record), is_there in zip(found.items(), there, strict=True) if is_there}

    def keep(self, video: Video, outcome: Outcome, worker: str, attempts: int) -> Record:
        """Write the record of a video, whose results are in their place."""
        frames, seconds = outcome.frames, outcome.seconds
        record = Record(
            **{field: getattr(outcome, field) for field in ("state", "frames", "fault", "warnings", "outputs")},
            **{field: getattr(video, field) for field in ("name", "address", "size", "version")},
            seconds=round(seconds, 3),
            frames_per_second=round(frames / seconds, 3) if frames and seconds else None,
            keyframe_share=round(outcome.keyframes / frames, 4) if frames else None,
            worker=worker,
            attempts=attempts,
            run=self._run,
        )
        if record.state in FINISHED and not self._told:  # from now on the results of others are in the way
            self._tell()
        self._store.write_json(_place(video), asdict(record))
        return record


def _place(video: Video) -> str:
    return record_place(video.name)


def _difference(kept: Mapping[str, Any], weights: str, settings: Mapping[str, Any]) -> str:
    before: Mapping[str, Any] = kept.get("settings") or {}
    changed = [name for name in sorted({*before, *settings}) if before.get(name) != settings.get(name)]
    words = [f"--{name.replace('_', '-')}" for name in changed[:3]]
    if kept.get("weights") != weights:
        words.insert(0, "weights")
    return f"other {' and '.join(words)}"


def totals(records: Sequence[Record]) -> dict[str, Any]:
    """Figures of all videos together."""
    written = [record for record in records if record.state in FINISHED]
    frames, seconds = sum(r.frames for r in written), sum(r.seconds for r in written)
    keyframes = sum((r.keyframe_share or 0) * r.frames for r in written)
    return {
        "videos": len(records),
        **{state.replace(" ", "_"): sum(r.state == state for r in records) for state in _STATES},
        "frames": frames,
        "seconds": round(seconds, 3),
        "frames_per_second": round(frames / seconds, 3) if seconds else None,
        "keyframe_share": round(keyframes / frames, 4) if frames else None,
    }


_STATES = ("done", "damaged", "failed", "set aside", "missing")


def write_tables(store: Store, ledger: Ledger, records: Sequence[Record]) -> None:
    """Write ``fleet.json`` and ``fleet.csv``."""
    described = {"netwarp": __version__, "weights": ledger.weights, "settings": ledger.settings}
    store.write_json("fleet.json", described | {"total": totals(records), "videos": [asdict(each) for each in records]})
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    table.writerows([getattr(record, name) for name in _COLUMNS] for record in records)
    store.write("fleet.csv", text.getvalue().encode())
