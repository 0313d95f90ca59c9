"""What the experiment is made of: a row, a fold and a seed, done in one go, and the figures that come out."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from netwarp._version import __version__
from netwarp.datasets.clips import ClipData
from netwarp.kept_arrays import load_arrays
from netwarp.lab.study.rows import BASE, Row
from netwarp.output_files import set_aside, write_file
from netwarp.weights import weights_digest as weights_digest

FORMAT = 2
"""Raised whenever the same settings would give other results: what was kept before is then made anew."""

READ = 100
"""Clips whose pictures tell data sets apart; those of thousands of clips would take minutes to read."""


def key_of(described: Mapping[str, Any]) -> str:
    """A short name for plain values, which :data:`FORMAT` is one of."""
    text = json.dumps({"format": FORMAT, **described}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]  # enough for any number of files in a folder


def environment(device: str) -> dict[str, Any]:
    """Versions, and what kind of device computes: others round otherwise."""
    return {"netwarp": __version__, "torch": torch.__version__, "device": device.partition(":")[0]}


def data_digest(*parts: ClipData) -> str:
    """Stands for what data sets hold.

    Of one that says what it follows from (:attr:`ClipData.origin`) no pixel is read; of others all labels are, and the
    first labelled picture of each clip, of the first :data:`READ` clips.
    """
    digest = hashlib.sha256()
    for data in parts:
        frames = [[clip.name, *((f.name, f.labels is not None) for f in clip.frames)] for clip in data.clips]
        digest.update(json.dumps([data.origin, list(data.classes.names), frames]).encode())
        for clip in data.clips[:READ] if data.origin is None else ():
            labelled = [frame for frame in clip.frames if frame.labels is not None]
            for read in (*(f.image for f in labelled[:1]), *(f.labels for f in labelled if f.labels is not None)):
                digest.update(np.ascontiguousarray(read()).data)
    return digest.hexdigest()


@dataclass(frozen=True)
class Unit:
    """A piece of work."""

    row: Row  # what is built and trained
    fold: int  # number of the fold, from 0
    seed: int  # of what is drawn by chance: the order of the data and the initial FlowCNN


@dataclass(frozen=True)
class UnitScores:
    """What came out of a unit; shares in percent, nan where a measure does not apply."""

    row: str  # name of the row
    fold: int  # number of the fold, from 0
    seed: int  # as in Unit
    miou: float  # mean IoU over classes
    per_class: dict[str, float]  # IoU by class
    tiou: dict[int, float]  # IoU within so many pixels of label changes, by width
    tc: float  # temporal consistency
    frames: int  # number of labelled frames
    # mean loss over the first and over the last tenth of the steps; nan where this unit trained nothing
    loss: tuple[float, float]
    parameters: int  # how many numbers were trained
    seconds: dict[str, float]  # what took how long
    settings: dict[str, Any]  # of the row
    iiou: float = math.nan  # mean instance IoU over the classes that have objects; nan where nobody knows objects
    iiou_per_class: dict[str, float] = field(default_factory=dict)  # instance IoU by class
    tiou_per_class: dict[str, float] = field(default_factory=dict)  # within 2 pixels; nothing where older work is kept
    # mean IoU without a clip, by the clip's name; nothing for halves of a data set, or of a single clip
    left_out: dict[str, float] = field(default_factory=dict)
    # IoU, tIoU within 2 pixels and tc of as many blocks of frames, drawn anew: alike for all rows of a fold
    resampled: dict[str, tuple[float, ...]] = field(default_factory=dict)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> UnitScores:
        """What was kept; null is nan."""
        known = {name: value if name == "settings" else _numbers(value) for name, value in values.items()}
        known["tiou"] = {int(width): value for width, value in known["tiou"].items()}
        return cls(**known)


def plain(value: Any, digits: int | None = None) -> Any:  # noqa: ANN401
    """A value for JSON: rounded if digits are given; null for nan."""
    if isinstance(value, float):
        return (value if digits is None else round(value, digits)) if math.isfinite(value) else None
    if hasattr(value, "as_dict"):
        value = value.as_dict()
    if isinstance(value, Mapping):
        return {str(key): plain(part, digits) for key, part in value.items()}
    return [plain(part, digits) for part in value] if isinstance(value, (list, tuple)) else value


def _numbers(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {key: _numbers(part) for key, part in value.items()}
    return tuple(map(_numbers, value)) if isinstance(value, list) else math.nan if value is None else value


def units_of(rows: Sequence[Row], folds: int, seeds: int) -> list[Unit]:
    """All units, a whole table for the first seed first. Rows without chance are done once a fold."""
    return [
        Unit(row, fold, seed)
        for seed in range(seeds)
        for fold in range(folds)
        for row in rows
        if row.trains or not seed
    ]


class Store:
    """A folder that keeps what was done, unit by unit, so that work that was cut off goes on where it was.

    A file's name tells all that its figures depend on: after a change to a row, that row is measured again.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.folder = folder
        self.identity = dict(identity)

    def path(self, unit: Unit) -> Path:
        """Where a unit's figures are kept."""
        return self.folder / f"{self._name(unit.row.name, unit, unit.row.settings())}.json"

    def training(self, unit: Unit) -> Path:
        """The folder of a unit's training, shared with units that differ only in how they are tested."""
        return self.folder / f"trained-{self._name(' '.join(unit.row.layers)[:60], unit, unit.row.training())}"

    def _name(self, what: str, unit: Unit, settings: Mapping[str, Any]) -> str:
        key = key_of({"of": self.identity, "row": settings})
        words = re.sub(r"[^a-z0-9]+", "-", what.lower()).strip("-")
        return f"{words}-fold{unit.fold}-seed{unit.seed}-{key}"

    def pictures(self, unit: Unit) -> Path:
        """Where a unit's label maps are kept."""
        return self.path(unit).with_suffix(".npz")

    def wants_pictures(self, unit: Unit) -> bool:
        """Whether a unit's label maps are to be kept: those of one seed, where somebody may look at them."""
        return unit.seed == 0 and (unit.row.drawn or unit.row.name == BASE)

    def load(self, unit: Unit) -> UnitScores | None:
        """What a unit gave; None where it was not done, or not all that is wanted was kept, or that is damaged."""
        if self.wants_pictures(unit) and load_arrays(self.pictures(unit)) is None:
            return None
        path = self.path(unit)
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            return UnitScores.from_json({**values, "row": unit.row.name})  # names may have changed since
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            set_aside(path)
            return None

    def keep(self, unit: Unit, scores: UnitScores) -> None:
        """Keep what a unit gave."""
        write_file(self.path(unit), json.dumps(plain(vars(scores)), ensure_ascii=False))
