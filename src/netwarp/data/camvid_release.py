"""CamVid's original release: 701 stills of 960×720 in 32 colours, and the raw videos that they were taken from."""

from __future__ import annotations

import logging
from collections import defaultdict
from functools import partial
from pathlib import Path

from netwarp.data.camvid_colours import read_coloured_labels
from netwarp.data.camvid_videos import MatchedVideo, find_video, match_video
from netwarp.data.clips import Clip, ClipData, ClipFrame, LeftOut
from netwarp.data.frame_numbers import FrameNumber, frame_number, runs
from netwarp.data.image_files import images_in, read_image
from netwarp.errors import InputError
from netwarp.model.label_set import CAMVID

__all__ = ["SPLIT_RANGES", "camvid_release", "is_release", "split_of"]

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

    Args:
        root: The folder.
        split: ``"train"``, ``"val"`` or ``"test"``.
        length: How many frames samples will have, at least 1.
        cache: Folder for frames of the videos; by default :func:`~netwarp.data.video_frames.default_cache`.
        gap: See above.

    Raises:
        InputError: Files are missing, or a video cannot be read.
        OutputError: Frames cannot be kept.
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
