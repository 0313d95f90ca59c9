"""Read and write label maps: indexed PNG whose palette holds the class colours."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.PngImagePlugin

from netwarp.errors import ConfigurationError, InputError, OutputError
from netwarp.input_files import expanded, special_kind
from netwarp.label_sets import IGNORE, Colour, LabelMap, voc_colour
from netwarp.output_files import Lock, atomic_write
from netwarp.output_places import prepare_folder
from netwarp.video.images import is_image, opened_image

_LOG = logging.getLogger(__name__)

_MARKS = {".png": b"Software\0netwarp", ".tiff": b"netwarp\0"}
"""What a result says of itself in its first bytes, by its ending."""


def full_palette(palette: Sequence[Colour]) -> npt.NDArray[np.uint8]:
    """List the colours of all 256 labels, ``[256, 3]``: the given ones, then PASCAL VOC's (255 is its pale "void")."""
    if len(palette) > 256:
        raise ConfigurationError(f"a palette has at most 256 colours, not {len(palette)}")
    for index, colour in enumerate(palette):
        if len(colour) != 3 or not all(0 <= value <= 255 for value in colour):
            raise ConfigurationError(f"colour {index} of the palette is {colour}, not three values of 0 to 255")
    rest = [voc_colour(index) for index in range(len(palette), 256)]
    return np.array([*palette, *rest], dtype=np.uint8)


@functools.lru_cache(maxsize=8)
def kept_palette(palette: tuple[Colour, ...]) -> npt.NDArray[np.uint8]:
    """:func:`full_palette`, not made anew for every frame, and not to be changed."""
    return full_palette(palette)


def write_mask(path: str | Path, labels: npt.NDArray[np.integer], palette: Sequence[Colour]) -> None:
    """Write a label map as an indexed PNG, or without colours a gray one, complete or not at all."""
    picture = PIL.Image.fromarray(_as_bytes(labels))
    if palette:
        picture.putpalette(kept_palette(tuple(map(tuple, palette))).tobytes())
    write_marked(Path(path), picture)


def write_marked(path: Path, picture: PIL.Image.Image) -> None:
    """Write a result as its ending says, PNG or else TIFF, and that it is ours; complete or not at all."""
    mark = PIL.PngImagePlugin.PngInfo()
    mark.add_text("Software", "netwarp")
    with atomic_write(path, "free space or choose another folder") as file:
        picture.save(file, format="TIFF" if path.suffix == ".tiff" else "PNG", pnginfo=mark, software="netwarp")


def is_ours(path: Path) -> bool:
    """Whether :func:`write_marked` wrote an image: it says so in its first bytes."""
    if path.suffix not in _MARKS or special_kind(path):
        return False
    with path.open("rb") as file:
        return _MARKS[path.suffix] in file.read(256)


def check_mask_folder(folder: Path, inputs: Iterable[Path]) -> None:
    """See that label maps would not mix with images that are read, nor replace those of others."""
    if folder.resolve() in {path.parent.resolve() for path in inputs if is_image(path)}:
        raise OutputError(f"{folder} holds the input's images, with which results would mix: name another folder")
    refuse_foreign(folder)


def refuse_foreign(folder: Path, pattern: str = "*") -> None:
    """Refuse a folder for results that holds such images of others, which may be the truth that is learned from."""
    try:
        found = sorted(path for path in folder.glob(pattern) if path.suffix in _MARKS)
        foreign = next((path for path in found if not is_ours(path)), None)
    except OSError as error:
        raise OutputError(f"{folder} cannot be read ({error.strerror or error}): name another folder") from error
    if foreign is not None:
        raise OutputError(f"{foreign} is no result that netwarp wrote, and could be replaced: name another folder")


def _as_bytes(labels: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
    if labels.ndim != 2 or not labels.size or not np.issubdtype(labels.dtype, np.integer):
        raise ConfigurationError(f"a label map is integer [H, W], not {labels.dtype} {list(labels.shape)}")
    if labels.dtype != np.uint8:
        lowest, highest = int(labels.min()), int(labels.max())
        if lowest < 0 or highest > 255:
            raise ConfigurationError(f"labels of {lowest} to {highest} do not fit into a mask, which holds 0 to 255")
    return np.ascontiguousarray(labels, dtype=np.uint8)


_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".bmp"})
_MODES = frozenset({"1", "L", "LA", "P", "PA", "I", "I;16", "I;16B"})
"""Pillow's modes of images whose pixels are numbers."""


def is_label_map(path: Path) -> bool:
    """Whether a file's name is that of an image that keeps numbers, which JPEG does not."""
    return path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")


def read_mask(path: str | Path, values: Mapping[int, int] | None = None) -> npt.NDArray[np.uint8]:
    """Read a label map ``[H, W]``: the indices of an indexed image, or the values of a gray one of 1, 8 or 16 bits.

    ``values`` says which labels some of the file's numbers stand for.
    """
    numbers = read_numbers(path, _MODES, "a mask").astype(np.int64, copy=False)
    labels = numbers.copy() if values else numbers
    for number, label in (values or {}).items():
        labels[numbers == number] = label
    wrong = labels[(labels < 0) | (labels > 255)]
    if wrong.size:
        raise InputError(f"{path} holds {wrong[0]} in {wrong.size} of its pixels: labels are 0 to 255")
    return labels.astype(np.uint8)


def read_numbers(path: str | Path, modes: Collection[str], what: str) -> npt.NDArray[np.integer]:
    """Read an image ``[H, W]`` whose pixels are numbers: its mode must be one of ``modes`` of Pillow."""
    numbers, mode = _pixels(path, modes, what)
    if numbers is None:
        raise InputError(f"{path} holds colours ({mode}) and is not {what}: give an image of numbers, indexed or gray")
    return numbers


def read_colours(path: str | Path) -> npt.NDArray[np.uint8] | None:
    """Read a label image ``[H, W, 3]`` that shows classes as RGB colours; None where its pixels are numbers."""
    colours, _ = _pixels(path, {"RGB", "RGBA"}, "a mask")
    return None if colours is None else np.ascontiguousarray(colours, np.uint8)


def _pixels(path: str | Path, modes: Collection[str], what: str) -> tuple[npt.NDArray[np.integer] | None, str]:
    """An image of one of some modes without its alpha channel, and its mode; None of another."""
    with opened_image(Path(path)) as picture:
        if (pages := getattr(picture, "n_frames", 1)) > 1:
            raise InputError(f"{path} holds {pages} pictures: {what} is one")
        return _without_alpha(np.array(picture), path) if picture.mode in modes else None, picture.mode


def _without_alpha(numbers: npt.NDArray[Any], path: str | Path) -> npt.NDArray[np.integer]:
    """The numbers, or colours, of an image that has an alpha channel too, if that hides none of them."""
    if numbers.ndim == 2:
        return numbers.astype(np.uint8) if numbers.dtype == np.bool_ else np.asarray(numbers)
    if numbers.shape[2] == 3:
        return np.asarray(numbers)
    hidden = np.count_nonzero(numbers[..., -1] != 255)
    if hidden:
        raise InputError(f"{path} is transparent in {hidden} of its pixels: give these a label too ({IGNORE} ignores)")
    return np.asarray(numbers[..., 0] if numbers.shape[2] == 2 else numbers[..., :3])


class MaskFolder:
    """Write one indexed PNG a frame into a folder, named as the frame or, for video, by its six-digit index.

    A second frame of the same name (from another folder) gets its index added. Every file is whole at any moment.
    In a ``with`` block nobody else may write into the folder; and when that ends well, results of an earlier run
    that were not replaced are removed (``clean``), or it is said that they stay. Ended by an error they all stay.
    """

    ending = ".png"

    def __init__(
        self, folder: str | Path, palette: Sequence[Colour] = (), *, inputs: Iterable[Path] = (), clean: bool = False
    ) -> None:
        self.folder, self.clean = expanded(folder), clean
        self.palette = tuple(palette)
        full_palette(self.palette)
        check_mask_folder(self.folder, inputs)
        prepare_folder(self.folder)
        self._written: set[str] = set()
        self._lock: Lock | None = None

    def __enter__(self) -> Self:
        self._lock = Lock(self.folder, "writing into")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._say_what_stays()
            elif self._written:
                with contextlib.suppress(OSError):  # the error that ended it is the one to be said
                    self._say_what_stays(whole=False)
        finally:
            if self._lock is not None:
                self._lock.release()

    def _say_what_stays(self, *, whole: bool = True) -> None:
        earlier = sorted(p for p in self.folder.iterdir() if p.name not in self._written and is_ours(p))
        if earlier and not whole:
            _LOG.warning(
                "%s holds %d new results and %d of an earlier run, such as %s",
                self.folder, len(self._written), len(earlier), earlier[0].name,
            )  # fmt: skip
        elif self.clean:
            for path in earlier:
                path.unlink(missing_ok=True)
        elif earlier:
            _LOG.warning(
                "%d results of an earlier run stay in %s, such as %s: --clean removes them",
                len(earlier), self.folder, earlier[0].name,
            )  # fmt: skip

    def write(self, labels: npt.NDArray[Any], index: int, name: str | None = None) -> Path:
        """Write one frame's labels ``[H, W]`` and return the file."""
        stem = f"{index:06d}" if name is None else name
        while stem + self.ending in self._written:
            stem = f"{stem}_{index:06d}"
        path = self.folder / (stem + self.ending)
        self._save(path, labels)
        self._written.add(path.name)
        return path

    def _save(self, path: Path, labels: npt.NDArray[Any]) -> None:
        write_mask(path, labels, self.palette)


class ConfidenceFolder(MaskFolder):
    """Write confidence (0–1) as gray PNG of 0–255, named as masks are."""

    def _save(self, path: Path, labels: npt.NDArray[Any]) -> None:
        write_mask(path, np.rint(255 * labels).astype(np.uint8), self.palette)


def read_classes(
    path: Path, classes: int, void: Collection[int] = (), values: Mapping[int, int] | None = None
) -> LabelMap:
    """Read a label map of numbered classes; ``void`` values become IGNORE, others above the classes are an error.

    ``values`` are as in :func:`read_mask`.
    """
    labels = read_mask(path, values)
    counts = np.bincount(labels.ravel(), minlength=256)
    wrong = [int(value) for value in np.flatnonzero(counts[classes:IGNORE]) + classes if value not in void]
    if wrong:
        more = f" (and {len(wrong) - 1} other values)" if len(wrong) > 1 else ""
        raise InputError(
            f"{path} holds label {wrong[0]} in {counts[wrong[0]]} of its pixels{more}: "
            f"classes are 0 to {classes - 1}, and {' and '.join(map(str, [*void, IGNORE]))} ignore; "
            f"--mask-value {wrong[0]}=CLASS says what it stands for"
        )
    if counts[classes:IGNORE].any():
        labels[labels >= classes] = IGNORE
    return labels
