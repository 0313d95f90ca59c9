"""CamVid's original release: 701 stills of 960×720 in 32 colours, and the raw videos that they were taken from."""

from __future__ import annotations

import logging
from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np

from netwarp.datasets.camvid_videos import MatchedVideo, find_video, match_video
from netwarp.datasets.clips import Clip, ClipData, ClipFrame, LeftOut
from netwarp.datasets.frame_numbers import FrameNumber, frame_number, runs
from netwarp.errors import InputError
from netwarp.label_sets import CAMVID, IGNORE, LabelMap
from netwarp.video.images import images_in, read_image

__all__ = ["COLOURS", "SPLIT_RANGES", "camvid_release", "is_release", "read_coloured_labels", "split_of"]

Colour = tuple[int, int, int]

COLOURS: dict[str, tuple[Colour, str | None]] = {
    "Sky": ((128, 128, 128), "sky"),
    "Archway": ((192, 0, 128), "building"),
    "Bridge": ((0, 128, 64), "building"),
    "Building": ((128, 0, 0), "building"),
    "Tunnel": ((64, 0, 64), "building"),
    "Wall": ((64, 192, 0), "building"),
    "Column_Pole": ((192, 192, 128), "pole"),
    "TrafficCone": ((0, 0, 64), "pole"),
    "LaneMkgsDriv": ((128, 0, 192), "road"),
    "LaneMkgsNonDriv": ((192, 0, 64), "road"),
    "Road": ((128, 64, 128), "road"),
    "ParkingBlock": ((64, 192, 128), "pavement"),
    "RoadShoulder": ((128, 128, 192), "pavement"),
    "Sidewalk": ((0, 0, 192), "pavement"),
    "Tree": ((128, 128, 0), "tree"),
    "VegetationMisc": ((192, 192, 0), "tree"),
    "Misc_Text": ((128, 128, 64), "sign"),
    "SignSymbol": ((192, 128, 128), "sign"),
    "TrafficLight": ((0, 64, 64), "sign"),
    "Fence": ((64, 64, 128), "fence"),
    "Car": ((64, 0, 128), "car"),
    "OtherMoving": ((128, 64, 64), "car"),
    "SUVPickupTruck": ((64, 128, 192), "car"),
    "Train": ((192, 64, 128), "car"),
    "Truck_Bus": ((192, 128, 192), "car"),
    "Animal": ((64, 128, 64), "pedestrian"),
    "CartLuggagePram": ((64, 0, 192), "pedestrian"),
    "Child": ((192, 128, 64), "pedestrian"),
    "Pedestrian": ((64, 64, 0), "pedestrian"),
    "Bicyclist": ((0, 128, 192), "bicyclist"),
    "MotorcycleScooter": ((192, 0, 192), "bicyclist"),
    "Void": ((0, 0, 0), None),
}
"""Name in the release → its colour (the release's ``label_colors.txt``), and the class that it counts as.

The grouping is that of SegNet (Badrinarayanan, Kendall, Cipolla, 2017) and of those who compare with it; as code it is
published in MathWorks' example of semantic segmentation on CamVid.
"""


def _code(image: np.ndarray) -> np.ndarray:
    wide = image.astype(np.uint32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


_CODES = _code(np.array([colour for colour, _ in COLOURS.values()]))
_CLASSES = np.array([IGNORE if name is None else CAMVID.names.index(name) for _, name in COLOURS.values()], np.uint8)
_ORDER = np.argsort(_CODES)
_CODES, _CLASSES = _CODES[_ORDER], _CLASSES[_ORDER]


def read_coloured_labels(path: Path) -> LabelMap:
    """Read a label image of the original release as the common 11 classes."""
    codes = _code(read_image(path))
    places = np.searchsorted(_CODES, codes).clip(max=len(_CODES) - 1)
    strays, counts = np.unique(codes[_CODES[places] != codes], return_counts=True)
    if len(strays):
        most = int(strays[counts.argmax()])
        colour = (most >> 16, most >> 8 & 255, most & 255)
        more = f" (and {len(strays) - 1} other such colours)" if len(strays) > 1 else ""
        raise InputError(
            f"{path} has the colour {colour} in {counts.max()} of its pixels{more}, which is none of CamVid's 32: "
            "labels must not be scaled or stored as JPEG; paint black what has no class"
        )
    labels: LabelMap = _CLASSES[places]
    return labels


_LOG = logging.getLogger(__name__)

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


def is_release(folder: Path) -> bool:
    """Whether a folder holds the original release, or what looks like it."""
    return (folder / _STILLS).is_dir() or (folder / _LABELS).is_dir()


def split_of(sequence: str, number: int) -> str | None:
    """The split that a frame belongs to in the literature; None if it is in none.

    >>> split_of("0016E5", 7961), split_of("0016E5", 390)
    ('val', 'train')
    """
    for name, first, last, split in SPLIT_RANGES:
        if name == sequence and first <= number <= last:
            return split
    return None


def camvid_release(root: Path, split: str, *, length: int, cache: Path | None = None, gap: int = 2) -> ClipData:
    """Open the original release.

    Stills are ``701_StillsRaw_full/NAME.png``, labels ``LabeledApproved_full/NAME_L.png``, raw videos lie in
    ``videos/`` or beside, each with its sequence's name in its own.

    The ``length − 1`` frames before a still are taken out of its sequence's video by their number at 30 Hz, and kept.
    A still that does not look like the video's frame of its own number is left out and counted. Frames whose numbers
    follow each other without a gap make a clip. Where there is no video, or one frame is enough, only the stills
    themselves can follow each other, as in the form of 11 classes: with numbers that differ by at most ``gap``.
    """
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
            clips += _clips(frames, gap)
            continue
        matched = match_video(video, sequence, paths, chosen, length - 1, cache)
        for number, why in matched.misfits.items():
            left_out.append(LeftOut(frames.pop(number).name, why))
        if not frames:
            _LOG.warning("%s looks like none of the stills of sequence %s: is it its video?", video, sequence)
        clips += _clips(frames | _frames_before(frames, paths, matched, length - 1), 1)
    return ClipData(f"camvid {split}", CAMVID, tuple(clips), tuple(left_out))


def _stills(root: Path, split: str) -> tuple[dict[str, dict[int, Path]], list[LeftOut]]:
    for folder in (root / _STILLS, root / _LABELS):
        if not folder.is_dir():
            raise InputError(f"{root} has no folder {folder.name}: the release has its stills in {_STILLS}/ and their "
                             f"labels in {_LABELS}/")  # fmt: skip
    stills: dict[str, dict[int, Path]] = defaultdict(dict)
    left_out = []
    for path in images_in(root / _STILLS):
        name = _parsed(path)
        sequence = _sequence(name)
        if split_of(sequence, name.number) is None:
            left_out.append(LeftOut(path.stem, "it is in no split of the literature"))
        elif name.number in stills[sequence]:
            other = stills[sequence][name.number].name
            raise InputError(f"{path} and {other} in the same folder have one frame number: remove one of them")
        else:
            stills[sequence][name.number] = path
    if not any(split_of(sequence, number) == split for sequence, paths in stills.items() for number in paths):
        raise InputError(f"{root / _STILLS} holds none of the stills of {split}: unpack the release anew")
    return stills, left_out


def _parsed(path: Path) -> FrameNumber:
    name = frame_number(path.stem)
    if name is None or name.after:
        raise InputError(f"{path} has no frame number at the end of its name, as in 0006R0_f00930.png: move it away")
    return name


def _sequence(name: FrameNumber) -> str:
    """The sequence in a name such as 0006R0_f00930."""
    return name.before.removesuffix("f").removesuffix("_")


def _still(root: Path, path: Path) -> ClipFrame:
    label = root / _LABELS / f"{path.stem}_L.png"
    if not label.exists():
        raise InputError(f"{path} has no labels: {label} is missing")
    return ClipFrame(path.stem, partial(read_image, path), labels=partial(read_coloured_labels, label))


def _frames_before(
    frames: dict[int, ClipFrame], paths: dict[int, Path], video: MatchedVideo, before: int
) -> dict[int, ClipFrame]:
    """Frames of the video that come right before those given and are no stills themselves."""
    found: dict[int, ClipFrame] = {}
    for number in frames:
        name = _parsed(paths[number])
        for n in range(number - before, number):
            if n not in paths and video.frames.has(n - video.first):
                found[n] = ClipFrame(name.name(n), video.frames.reader(n - video.first))
    return found


def _clips(frames: dict[int, ClipFrame], gap: int) -> list[Clip]:
    return [Clip(frames[run[0]].name, tuple(frames[number] for number in run)) for run in runs(frames, gap)]
