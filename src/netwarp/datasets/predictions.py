"""Read and write predicted label maps: a folder with a PNG a frame.

A frame's file is ``NAME.png``, where NAME is the frame's in the data set; with a ``/`` in it, it names a sub-folder
too. ``NAME_….png`` and files in further sub-folders are read as well, so that Cityscapes' ``CITY_SEQUENCE_FRAME*.png``
are found as its server and its scripts find them.

Values are classes, and 255 or the number of classes for none; or, where asked for, Cityscapes' ids.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from netwarp.datasets.cityscapes import IDS, to_ids, to_train_ids
from netwarp.datasets.clips import ClipData
from netwarp.errors import ConfigurationError, InputError
from netwarp.input_files import expanded
from netwarp.label_sets import CITYSCAPES, IGNORE, Colour, LabelSet
from netwarp.output_places import prepare_folder
from netwarp.video.label_maps import is_label_map, read_mask, refuse_foreign, write_mask


class Predictions:
    """Read a folder of label maps; several threads may do so.

    Faults of single files are collected, until :meth:`fault` tells of them when all are read.
    """

    def __init__(self, folder: str | Path, data: ClipData, ids: bool = False) -> None:
        _check_ids(ids, data.classes)
        self.folder = expanded(folder)
        self.ids = ids
        self._classes = len(data.classes)
        frames = [frame for clip in data.clips for frame in clip.frames]
        self._order = {frame.name: place for place, frame in enumerate(frames)}
        self.files = _match(self.folder, list(self._order))
        labelled = [frame.name for frame in frames if frame.labels is not None]
        missing = [name for name in labelled if name not in self.files]
        if missing:
            raise InputError(
                f"{self.folder} lacks label maps for {len(missing)} of the {len(labelled)} labelled frames of "
                f"{data.name}; the first is {missing[0]}: expected {missing[0]}.png"
            )
        self._faults: dict[str, InputError] = {}

    def read(self, name: str, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Read a frame's label map."""
        try:
            return self._read(self.files[name], size)
        except InputError as error:
            self._faults[name] = error
            return np.full(size, self._classes, np.uint8)

    def fault(self) -> InputError | None:
        """The first fault of what was read, and how many there are; None where there is none."""
        if not self._faults:
            return None
        first = self._faults[min(self._faults, key=self._order.__getitem__)]
        others = len(self._faults) - 1
        more = f" (and {others} more of {len(self.files)} files cannot be used)" if others else ""
        return InputError(f"{first.args[0]}{more}", option=first.option)

    def _read(self, path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
        values = read_mask(path)
        if values.shape != size:
            raise InputError(
                f"{path} is {values.shape[1]}×{values.shape[0]}, but its frame is {size[1]}×{size[0]}: "
                "label maps must have the frame's size"
            )
        if self.ids:
            values = to_train_ids(values, str(path))
        labels = np.where(values == IGNORE, np.uint8(self._classes), values)
        wrong = labels[labels > self._classes]
        if wrong.size:
            hint = "; give {option} if these are Cityscapes' ids" if self._classes == len(IDS) else ""
            raise InputError(
                f"{path} holds {wrong[0]} in {wrong.size} of its pixels: classes are 0 to {self._classes - 1}, "
                f"and {self._classes} or {IGNORE} none{hint}",
                option="ids",
            )
        return labels


class PredictionWriter:
    """Write label maps as :class:`Predictions` reads them; files of the same names are replaced."""

    def __init__(self, folder: str | Path, classes: LabelSet, ids: bool = False) -> None:
        _check_ids(ids, classes)
        self.folder = expanded(folder)
        self.ids = ids
        self._classes = len(classes)
        self._palette = _id_palette() if ids else list(classes.palette)
        refuse_foreign(self.folder, "**/*.png")
        prepare_folder(self.folder)

    def write(self, name: str, labels: NDArray[np.integer]) -> Path:
        """Write a frame's label map."""
        path = self.folder / f"{name}.png"
        values = np.where((labels < 0) | (labels >= self._classes), IGNORE, labels).astype(np.uint8)
        write_mask(path, to_ids(values) if self.ids else values, self._palette)
        return path


def _check_ids(ids: bool, classes: LabelSet) -> None:
    if ids and classes.names != CITYSCAPES.names:
        raise ConfigurationError("Cityscapes' ids are for data with its 19 classes: leave them to that")


def _id_palette() -> list[Colour]:
    palette: list[Colour] = [(0, 0, 0)] * (max(IDS) + 1)
    for number, colour in zip(IDS, CITYSCAPES.palette, strict=True):
        palette[number] = colour
    return palette


def _match(folder: Path, names: list[str]) -> dict[str, Path]:
    """Find the frames' files: those of their names, else those whose names begin with theirs and ``_``."""
    if not folder.is_dir():
        raise InputError(f"there is no folder of label maps at {folder}")
    paths = sorted(
        path
        for path in folder.rglob("*")
        if is_label_map(path) and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    exact: dict[str, list[Path]] = defaultdict(list)
    begun: dict[str, list[Path]] = defaultdict(list)
    depths = {name.count("/") for name in names}
    wanted = set(names)
    for path in paths:
        parts = PurePosixPath(path.relative_to(folder).with_suffix("").as_posix()).parts
        for tail in ("/".join(parts[-depth - 1 :]) for depth in depths if depth < len(parts)):
            exact[tail].append(path)
            if tail in wanted:
                continue
            for end in (place for place, letter in enumerate(tail) if letter == "_"):
                begun[tail[:end]].append(path)
    found: dict[str, Path] = {}
    for name in names:
        candidates = exact.get(name) or begun.get(name) or []
        if len(candidates) > 1:
            candidates = [path for path in candidates if path == folder / f"{name}.png"] or candidates
        if len(candidates) > 1:
            raise InputError(
                f"{candidates[0]} and {candidates[1]} are both label maps of frame {name}: keep one of them"
            )
        if candidates:
            found[name] = candidates[0]
    return found
