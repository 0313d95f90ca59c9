"""CamVid (Brostow, Fauqueur, Cipolla, 2009): the common form of 11 classes, and the original release.

The release has 701 stills of 960×720 with labels in 32 colours, and the raw videos that the stills were taken from.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from netwarp.datasets.camvid_videos import find_video, match_video
from netwarp.datasets.clips import Clip, ClipData, ClipFrame, LeftOut
from netwarp.datasets.colour_labels import ColourTable
from netwarp.datasets.frame_numbers import FrameNumber, clips_of, frame_number
from netwarp.errors import ConfigurationError, InputError
from netwarp.label_sets import CAMVID, IGNORE, Colour, LabelMap
from netwarp.video.images import images_in, read_image
from netwarp.video.label_maps import is_label_map, read_classes

_LOG = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")

_VOID = 11
_GAP = 2  # frames are taken at 30 Hz, and labelled at 15 at most
_STILLS = "701_StillsRaw_full"
_LABELS = "LabeledApproved_full"

SPLIT_RANGES: tuple[tuple[str, int, int, str], ...] = (
    ("0001TP", 6690, 8520, "train"),
    ("0006R0", 930, 3930, "train"),
    ("0016E5", 390, 7920, "train"),
    ("0016E5", 8190, 8640, "train"),
    ("0016E5", 7959, 8159, "val"),
    ("0001TP", 8550, 10380, "test"),
    ("Seq05VD", 0, 5100, "test"),
)
"""Sequence, first and last frame number, split: what the literature's lists (SegNet's: 367, 101, 233) come to."""


def camvid(
    root: Path, split: str, length: int = 2, cache: Path | None = None, *, values: Mapping[int, int] | None = None
) -> ClipData:
    """Open CamVid, whichever of its two forms lies in a folder.

    The form of 11 classes is ``SPLIT/NAME.jpg`` (or another image format) and ``SPLITannot/NAME.png``, where 11 is
    void. Its names hold a sequence and a frame number at 30 Hz; frames of one sequence whose numbers differ by at
    most 2 follow each other. Only ``val`` has such frames (0016E5 at 15 Hz): ``train`` and ``test`` are a frame
    a second, and each of their frames is a clip of its own. ``values`` says which labels some numbers stand for.

    The original release is ``701_StillsRaw_full/NAME.png``, ``LabeledApproved_full/NAME_L.png``, and raw videos in
    ``videos/`` or beside, each with its sequence's name in its own. The ``length − 1`` frames before a still are taken
    out of its sequence's video by their number at 30 Hz, and kept in ``cache``. A still that does not look like the
    video's frame of its own number is left out and counted. Frames whose numbers follow each other without a gap make
    a clip. Where there is no video, or one frame is enough, only stills can follow each other, as in the other form.
    """
    root = _folder(root)
    if _is_release(root):
        if values:
            raise ConfigurationError("CamVid's original release has labels in colours: no value of theirs can be named")
        return _release(root, split, length, cache)
    images, labels = root / split, root / f"{split}annot"
    for folder in (images, labels):
        if not folder.is_dir():
            raise InputError(f"{root} has no folder {folder.name}: this split's frames and labels belong into "
                             f"{images.name}/ and {labels.name}/")  # fmt: skip
    return ClipData(f"camvid {split}", CAMVID, _eleven_classes(images, labels, values))


def _folder(root: Path) -> Path:
    """Find the folder that holds the data: the one given, or one in it that is named after the data set."""
    expected = (
        "train/, trainannot/, val/, valannot/, test/ and testannot/ (11 classes), or 701_StillsRaw_full/ and "
        "LabeledApproved_full/ (the original release)"
    )
    if not root.is_dir():
        raise InputError(f"{root} is not a folder: give CamVid's, with {expected}")
    for folder in (root, *(entry for entry in sorted(root.iterdir()) if entry.name.casefold() == "camvid")):
        if _is_release(folder) or any((folder / f"{split}annot").is_dir() for split in SPLITS):
            return folder
    raise InputError(f"{root} does not hold CamVid: expected {expected}")


def _is_release(folder: Path) -> bool:
    return (folder / _STILLS).is_dir() or (folder / _LABELS).is_dir()


def _numbered(path: Path) -> FrameNumber:
    name = frame_number(path.stem)
    if name is None or name.after:
        raise InputError(f"{path} has no frame number at the end of its name, as in 0016E5_07959: rename or remove it")
    return name


def _same_number(path: Path, other: str) -> InputError:
    return InputError(f"{path} and {other} in the same folder have one frame number: remove one of them")


# --- 11 classes -----------------------------------------------------------------------------------------------------


def _eleven_classes(images: Path, labels: Path, values: Mapping[int, int] | None) -> tuple[Clip, ...]:
    """Pair every frame of a split with its labels; both must be there."""
    unused = {path.stem: path for path in labels.iterdir() if is_label_map(path)}
    sequences: dict[str, dict[int, ClipFrame]] = defaultdict(dict)
    for path in images_in(images):
        name = _numbered(path)
        label = unused.pop(path.stem, None)
        if label is None:
            raise InputError(f"{path} has no labels: {labels / path.stem}.png is missing")
        if name.number in sequences[name.before]:
            raise _same_number(path, sequences[name.before][name.number].name)
        sequences[name.before][name.number] = ClipFrame(
            path.stem, partial(read_image, path), labels=partial(read_classes, label, len(CAMVID), (_VOID,), values)
        )
    if unused:
        raise InputError(f"{min(unused.values())} has no frame: an image of that name is missing in {images}")
    return tuple(clip for _, frames in sorted(sequences.items()) for clip in clips_of(frames, _GAP))


# --- the original release -------------------------------------------------------------------------------------------


def _release(root: Path, split: str, length: int, cache: Path | None) -> ClipData:
    stills, left_out = _stills(root, split)
    clips: list[Clip] = []
    for sequence, paths in sorted(stills.items()):
        chosen = {number: path for number, path in paths.items() if split_of(sequence, number) == split}
        if not chosen:
            continue
        frames = {number: _still(root, path) for number, path in chosen.items()}
        video = find_video((root / "videos", root), sequence) if length > 1 else None
        if video is None:
            if length > 1:
                _LOG.warning("no video of sequence %s lies in %s: nothing but stills can come before its stills",
                             sequence, root / "videos")  # fmt: skip
            clips += clips_of(frames, _GAP)
            continue
        decoded, first, misfits = match_video(video, sequence, paths, chosen, length - 1, cache)
        for number, why in misfits.items():
            left_out.append(LeftOut(frames.pop(number).name, why))
        if not frames:
            _LOG.warning("%s looks like none of the stills of sequence %s: is it its video?", video, sequence)
        before = {n for number in frames for n in range(number - length + 1, number) if n not in paths}
        form = _numbered(next(iter(paths.values())))
        clips += clips_of(
            frames | {n: ClipFrame(form.name(n), decoded.reader(n - first)) for n in before if decoded.has(n - first)}
        )
    return ClipData(f"camvid {split}", CAMVID, tuple(clips), tuple(left_out))


def _stills(root: Path, split: str) -> tuple[dict[str, dict[int, Path]], list[LeftOut]]:
    """List the stills by sequence and number, and those that are in no split."""
    for folder in (root / _STILLS, root / _LABELS):
        if not folder.is_dir():
            raise InputError(f"{root} has no folder {folder.name}: the release has its stills in {_STILLS}/ and their "
                             f"labels in {_LABELS}/")  # fmt: skip
    stills: dict[str, dict[int, Path]] = defaultdict(dict)
    left_out = []
    for path in images_in(root / _STILLS):
        name = _numbered(path)
        sequence = name.before.removesuffix("f").removesuffix("_")  # as in 0006R0_f00930
        if split_of(sequence, name.number) is None:
            left_out.append(LeftOut(path.stem, "it is in no split of the literature"))
        elif name.number in stills[sequence]:
            raise _same_number(path, stills[sequence][name.number].name)
        else:
            stills[sequence][name.number] = path
    if not any(split_of(sequence, number) == split for sequence, paths in stills.items() for number in paths):
        raise InputError(f"{root / _STILLS} holds none of the stills of {split}: unpack the release anew")
    return stills, left_out


def _still(root: Path, path: Path) -> ClipFrame:
    label = root / _LABELS / f"{path.stem}_L.png"
    if not label.exists():
        raise InputError(f"{path} has no labels: {label} is missing")
    return ClipFrame(path.stem, partial(read_image, path), labels=partial(read_coloured_labels, label))


def split_of(sequence: str, number: int) -> str | None:
    """Find the split that a frame belongs to in the literature; None if it is in none.

    >>> split_of("0016E5", 7961), split_of("0016E5", 390)
    ('val', 'train')
    """
    for name, first, last, split in SPLIT_RANGES:
        if name == sequence and first <= number <= last:
            return split
    return None


COLOURS: dict[str | None, dict[str, Colour]] = {
    "sky": {"Sky": (128, 128, 128)},
    "building": {
        "Archway": (192, 0, 128), "Bridge": (0, 128, 64), "Building": (128, 0, 0), "Tunnel": (64, 0, 64),
        "Wall": (64, 192, 0),
    },
    "pole": {"Column_Pole": (192, 192, 128), "TrafficCone": (0, 0, 64)},
    "road": {"LaneMkgsDriv": (128, 0, 192), "LaneMkgsNonDriv": (192, 0, 64), "Road": (128, 64, 128)},
    "pavement": {"ParkingBlock": (64, 192, 128), "RoadShoulder": (128, 128, 192), "Sidewalk": (0, 0, 192)},
    "tree": {"Tree": (128, 128, 0), "VegetationMisc": (192, 192, 0)},
    "sign": {"Misc_Text": (128, 128, 64), "SignSymbol": (192, 128, 128), "TrafficLight": (0, 64, 64)},
    "fence": {"Fence": (64, 64, 128)},
    "car": {
        "Car": (64, 0, 128), "OtherMoving": (128, 64, 64), "SUVPickupTruck": (64, 128, 192), "Train": (192, 64, 128),
        "Truck_Bus": (192, 128, 192),
    },
    "pedestrian": {
        "Animal": (64, 128, 64), "CartLuggagePram": (64, 0, 192), "Child": (192, 128, 64), "Pedestrian": (64, 64, 0),
    },
    "bicyclist": {"Bicyclist": (0, 128, 192), "MotorcycleScooter": (192, 0, 192)},
    None: {"Void": (0, 0, 0)},
}  # fmt: skip
"""Class, or None → the names that count as it in the release, and their colours (its ``label_colors.txt``).

The grouping is that of SegNet (Badrinarayanan, Kendall, Cipolla, 2017) and of those who compare with it; as code it is
published in MathWorks' example of semantic segmentation on CamVid.
"""


_TABLE = ColourTable(
    {
        colour: IGNORE if name is None else CAMVID.names.index(name)
        for name, colours in COLOURS.items()
        for colour in colours.values()
    }
)


def read_coloured_labels(path: Path) -> LabelMap:
    """Read a label image of the original release as the common 11 classes."""
    return _TABLE.labels(
        read_image(path),
        path,
        "none of CamVid's 32: labels must not be scaled or stored as JPEG; paint black what has no class",
    )
