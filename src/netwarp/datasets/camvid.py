"""CamVid (Brostow, Fauqueur, Cipolla, 2009): the common form of 11 classes, and the way to the original release."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from pathlib import Path

from netwarp.datasets.camvid_release import camvid_release, is_release
from netwarp.datasets.clips import Clip, ClipData, ClipFrame
from netwarp.datasets.frame_numbers import frame_number, runs
from netwarp.errors import ConfigurationError, InputError, unknown_name
from netwarp.label_sets import CAMVID
from netwarp.video.images import images_in, read_image
from netwarp.video.label_maps import read_classes

__all__ = ["SPLITS", "camvid"]

SPLITS = ("train", "val", "test")

_VOID = 11
_GAP = 2


def camvid(root: Path, split: str, *, length: int = 2, cache: Path | None = None, gap: int = _GAP) -> ClipData:
    """Open CamVid, whichever of its two forms lies in a folder.

    The form of 11 classes is ``SPLIT/NAME.jpg`` (or another image format) and ``SPLITannot/NAME.png``, where 11 is
    void. Its names hold a sequence and a frame number at 30 Hz; frames of one sequence whose numbers differ by at
    most ``gap`` follow each other. Only ``val`` has such frames (0016E5 at 15 Hz): ``train`` and ``test`` are a frame
    a second, and each of their frames is a clip of its own.

    The original release is described at :func:`netwarp.datasets.camvid_release.camvid_release`.
    """
    if split not in SPLITS:
        raise unknown_name("split of camvid", split, SPLITS)
    for name, value in (("length", length), ("gap", gap)):
        if value < 1:
            raise ConfigurationError(f"{name} must be at least 1, not {value}")
    root = _folder(root)
    if is_release(root):
        return camvid_release(root, split, length=length, cache=cache, gap=gap)
    images, labels = root / split, root / f"{split}annot"
    for folder in (images, labels):
        if not folder.is_dir():
            raise InputError(f"{root} has no folder {folder.name}: this split's frames and labels belong into "
                             f"{images.name}/ and {labels.name}/")  # fmt: skip
    return ClipData(f"camvid {split}", CAMVID, _clips(images, labels, gap))


def _folder(root: Path) -> Path:
    """The folder that holds the data: the one given, or one in it that is named after the data set."""
    if not root.is_dir():
        raise InputError(f"{root} is no folder: give CamVid's, with {_expected()}")
    inside = [entry for entry in sorted(root.iterdir()) if entry.name.casefold() == "camvid"]
    for folder in (root, *inside):
        if is_release(folder) or any((folder / f"{split}annot").is_dir() for split in SPLITS):
            return folder
    raise InputError(f"{root} does not hold CamVid: expected {_expected()}")


def _expected() -> str:
    return (
        "train/, trainannot/, val/, valannot/, test/ and testannot/ (11 classes), or 701_StillsRaw_full/ and "
        "LabeledApproved_full/ (the original release)"
    )


def _clips(images: Path, labels: Path, gap: int) -> tuple[Clip, ...]:
    """Every frame of a split has labels, and every label a frame."""
    unused = {path.stem for path in labels.glob("*.png") if not path.name.startswith(".")}
    sequences: dict[str, dict[int, ClipFrame]] = defaultdict(dict)
    for path in images_in(images):
        name = frame_number(path.stem)
        label = labels / f"{path.stem}.png"
        if name is None or name.after:
            raise InputError(f"{path} has no frame number at the end of its name, as in 0016E5_07959: rename it")
        if path.stem not in unused:
            raise InputError(f"{path} has no labels: {label} is missing")
        if name.number in sequences[name.before]:
            other = sequences[name.before][name.number].name
            raise InputError(f"{path} and {other} in the same folder have one frame number: remove one of them")
        unused.remove(path.stem)
        sequences[name.before][name.number] = ClipFrame(
            path.stem, partial(read_image, path), labels=partial(read_classes, label, len(CAMVID), (_VOID,))
        )
    if unused:
        raise InputError(f"{labels / min(unused)}.png has no frame: an image of that name is missing in {images}")
    return tuple(
        Clip(frames[run[0]].name, tuple(frames[number] for number in run))
        for _, frames in sorted(sequences.items())
        for run in runs(frames, gap)
    )
