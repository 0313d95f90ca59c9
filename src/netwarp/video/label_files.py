"""Files of numbers about a video's labels: the area of each class by frame, and regions as COCO's run lengths."""

from __future__ import annotations

import csv
import io
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, TextIO

import numpy as np
import numpy.typing as npt

from netwarp.errors import needs_extra
from netwarp.output_files import UnfinishedFile, cannot_write
from netwarp.output_places import prepare_file


def areas(labels: npt.NDArray[np.integer], classes: int) -> npt.NDArray[np.int64]:
    """Count the pixels of each class, ``[classes]``.

    Args:
        labels: ``[H,W]``, classes and values that are none; or ``[classes,H,W]``, 1 where each label is, else 0.
        classes: Number of classes.

    >>> areas(np.array([[0, 2, 2], [255, 0, 2]]), 3)
    array([2, 0, 3])
    """
    if labels.ndim == 3:
        return np.array([np.count_nonzero(each) for each in labels], np.int64)
    counts: npt.NDArray[np.int64] = np.bincount(labels.ravel(), minlength=classes)[:classes]
    return counts


def regions(labels: npt.NDArray[np.integer], classes: Iterable[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Give each class that is in a frame, and where, as COCO writes it: ``{"size": [H, W], "counts": TEXT}``.

    Labels are as in :func:`areas`; pycocotools decodes a region into a mask ``[H,W]``.

    Raises:
        MissingExtraError: pycocotools is not installed.
    """
    encode = _encoder()
    for number in classes:
        mask = labels[number] if labels.ndim == 3 else labels == number
        if mask.any():
            coded = encode(np.asfortranarray(mask, dtype=np.uint8))
            yield number, {"size": [int(side) for side in coded["size"]], "counts": coded["counts"].decode("ascii")}


def _encoder() -> Any:  # noqa: ANN401 - pycocotools has no types
    with needs_extra("pycocotools", "coco", "a file of COCO's run lengths"):
        from pycocotools.mask import encode
    return encode


class LabelFile(ABC):
    """A text that grows by frame and takes its file's place whole, when its ``with`` block ends; else there is none.

    Ctrl-C ends a live video as its end would. Of another one what is there until then is kept too, but not in the place
    of an earlier file (``NAME.interrupted.csv``); :attr:`written` is where it is.
    """

    head = tail = ""

    def __init__(self, path: Path, names: Sequence[str], *, inputs: Iterable[Path] = (), live: bool = False) -> None:
        self.path, self.names, self._live = path, tuple(names), live
        self.written: Path | None = None
        self.frames = 0
        prepare_file(path, inputs)

    def __enter__(self) -> Self:
        try:
            self._file = UnfinishedFile(self.path)
        except (OSError, ValueError) as error:
            raise cannot_write(self.path, error) from error
        self._text: TextIO = os.fdopen(self._file.descriptor, "w", closefd=False, encoding="utf-8", newline="")
        try:
            self._put(self.head)
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
        if kind is not None and not (interrupted and self.frames):
            self._discard()
            return
        try:
            self._text.write(self.tail)
            self._text.close()
            self.written = self._file.finish(beside=interrupted and not self._live) or self.path
        except OSError as failure:
            self._discard()
            raise cannot_write(self.path, failure) from failure

    def write(self, labels: npt.NDArray[np.integer], index: int, time: float, name: str | None = None) -> None:
        """Append what is to be said of a frame: its labels as in :func:`areas`, number, seconds, and image's name."""
        self._put(self._said(labels, index, time, name))
        self.frames += 1

    @abstractmethod
    def _said(self, labels: npt.NDArray[np.integer], index: int, time: float, name: str | None) -> str:
        """What is to be said of a frame."""

    def _discard(self) -> None:
        with suppress(OSError):  # else it would write the rest later, into the file that has this number then
            self._text.close()
        self._file.discard()

    def _put(self, text: str) -> None:
        try:
            self._text.write(text)
        except OSError as error:
            raise cannot_write(self.path, error) from error


class AreasFile(LabelFile):
    """A CSV table: frame, time in seconds, and of each class its pixels and their share of the frame (0–1)."""

    def __init__(self, path: Path, names: Sequence[str], *, inputs: Iterable[Path] = (), live: bool = False) -> None:
        super().__init__(path, names, inputs=inputs, live=live)
        self.head = _row(["frame", "time", *(f"{name} {what}" for name in names for what in ("pixels", "share"))])

    def _said(self, labels: npt.NDArray[np.integer], index: int, time: float, name: str | None) -> str:
        found, pixels = areas(labels, len(self.names)), labels.shape[-1] * labels.shape[-2]
        cells = [text for count in found.tolist() for text in (str(count), f"{count / pixels:.6f}")]
        return _row([str(index), f"{time:.6f}", *cells])


def _row(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


class RunLengthFile(LabelFile):
    """A list in JSON, as COCO's results for pictures' regions: an object for each class in each frame.

    ``image_id`` is the frame's number, ``category_id`` the class's; ``name`` is the image's, where frames are images.
    ``without`` are classes that are left out.
    """

    head, tail = "[", "\n]\n"

    def __init__(
        self,
        path: Path,
        names: Sequence[str],
        *,
        inputs: Iterable[Path] = (),
        live: bool = False,
        without: Sequence[int] = (),
    ) -> None:
        _encoder()  # an error in time
        super().__init__(path, names, inputs=inputs, live=live)
        self._classes = [number for number in range(len(names)) if number not in without]
        self._before = "\n"

    def _said(self, labels: npt.NDArray[np.integer], index: int, time: float, name: str | None) -> str:
        called = {} if name is None else {"name": name}
        found = [
            json.dumps({"image_id": index, **called, "category_id": number, "segmentation": region})
            for number, region in regions(labels, self._classes)
        ]
        if not found:
            return ""
        text = self._before + ",\n".join(found)
        self._before = ",\n"
        return text
