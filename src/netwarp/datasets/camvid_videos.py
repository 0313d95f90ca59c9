"""Find CamVid's stills in its raw videos.

The stills' names hold frame numbers of the recordings, but the published files begin at another frame. It is known
(:data:`RAW_VIDEOS`), and checked by comparing pictures, because a file may have been cut or converted since.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwarp.datasets.video_frames import VideoFrames, is_video
from netwarp.errors import InputError
from netwarp.video.images import read_image
from netwarp.video.source import Image

_LOG = logging.getLogger(__name__)

RAW_VIDEOS: dict[str, tuple[str, int]] = {
    "0001TP": ("01TP", 6660),
    "0006R0": ("0006R0", -1),
    "0016E5": ("0016E5", -1),
    "Seq05VD": ("05VD", -1),
}
"""Sequence → what its video's name contains, and the number of that file's first frame.

The files are ``01TP_extract.avi``, ``0006R0.MXF``, ``0016E5.MXF`` and ``0005VD.MXF``. The numbers are those with which
AR-Seg (Hu et al., CVPR 2023) cuts the same files.
"""

TOLERANCE = 12.0
"""Mean absolute difference, in gray levels, up to which a frame and a still can be the same picture."""

_REACH = 3
_CLEARLY = 0.7
_SAMPLE = 3


def find_video(folders: tuple[Path, ...], sequence: str) -> Path | None:
    """Find the raw video of a sequence: the one file whose name contains the sequence's."""
    text = RAW_VIDEOS.get(sequence, (sequence, 0))[0].casefold()
    found = [
        path
        for folder in folders
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if is_video(path) and text in path.stem.casefold() and not path.name.startswith(".")
    ]
    if len(found) > 1:
        raise InputError(
            f"{found[0]} and {found[1]} could both be the video of sequence {sequence}: move one of them away"
        )
    return found[0] if found else None


def match_video(
    video: Path,
    sequence: str,
    stills: Mapping[int, Path],
    chosen: Mapping[int, Path],
    before: int,
    cache: Path | None = None,
) -> tuple[VideoFrames, int, dict[int, str]]:
    """Find the numbers of a video's frames, and keep those right before the chosen stills.

    Also returns the number of the first frame, and the stills that it does not show at their number, and why.
    """
    size = read_image(next(iter(stills.values()))).shape[:2]
    frames = VideoFrames(video, cache, size=(size[0], size[1]))
    if "first" not in frames.notes:
        first, frames.matrix = _first_number(frames, sequence, stills)
        frames.notes |= {"first": first, "matrix": frames.matrix, "differences": {}}
    first, frames.matrix = frames.notes["first"], frames.notes["matrix"]
    known: dict[str, dict[str, float]] = frames.notes["differences"]
    unseen = {number: path for number, path in chosen.items() if _identity(path) not in known}
    wanted = {n - first for number in chosen for n in range(number - before, number) if n not in stills}
    comparison = _Comparison(unseen, first)
    frames.take(wanted, comparison, until=max(unseen) - first + _REACH if unseen else -1)
    if unseen:
        known |= {
            _identity(path): {str(k): v for k, v in comparison.found[number].items()} for number, path in unseen.items()
        }
        frames.keep_notes()
    misfits = {number: _misfit(video, known[_identity(path)]) for number, path in chosen.items()}
    return frames, first, {number: why for number, why in misfits.items() if why is not None}


def _identity(still: Path) -> str:
    return f"{still.name}, {still.stat().st_size} bytes"


def _misfit(video: Path, differences: Mapping[str, float]) -> str | None:
    own = differences.get("0")
    if own is None:
        return f"{video.name} has no frame of its number"
    if min(differences.values()) < _CLEARLY * own:
        return f"{video.name} shows it at another number"
    return f"{video.name} shows something else at its number" if own > TOLERANCE else None


class _Comparison:
    """Compare stills with the frames around their number: number → shift → mean absolute difference.

    A shift of 1 is that of the frame after the number's.
    """

    def __init__(self, stills: Mapping[int, Path], first: int) -> None:
        self.stills, self.first = stills, first
        self.found: dict[int, dict[int, float]] = {number: {} for number in stills}
        self._open: dict[int, NDArray[Any]] = {}

    def __call__(self, index: int, image: Image) -> None:
        thinned = image[::2, ::2].astype(np.int16)
        for shift in range(-_REACH, _REACH + 1):
            number = index + self.first - shift
            if number not in self.stills:
                continue
            if number not in self._open:
                self._open[number] = read_image(self.stills[number])[::2, ::2].astype(np.int16)
            still = self._open[number]
            if still.shape != thinned.shape:
                raise InputError(f"{self.stills[number]} is not of the size of the other stills of its sequence")
            self.found[number][shift] = round(float(np.abs(thinned - still).mean()), 3)
            if shift == _REACH:
                del self._open[number]


def _first_number(frames: VideoFrames, sequence: str, stills: Mapping[int, Path]) -> tuple[int, str]:
    """Find the number of a video's first frame, and the colour matrix with which it looks most like the stills."""
    known = RAW_VIDEOS.get(sequence, (sequence, 0))[1]
    for guess in dict.fromkeys((known, 0)):
        sample = {number: stills[number] for number in sorted(stills) if number - guess >= _REACH}
        sample = {number: sample[number] for number in list(sample)[:_SAMPLE]}
        if not sample:
            continue
        fits: list[tuple[float, int, int, str]] = []
        for matrix in ("ITU601", "ITU709"):
            comparison = _Comparison(sample, guess)
            frames.matrix = matrix
            for index, image in frames.scan(max(sample) - guess + _REACH):
                comparison(index, image)
            for shift in range(-_REACH, _REACH + 1):
                values = [found[shift] for found in comparison.found.values() if shift in found]
                if len(values) == len(sample):
                    fits.append((float(np.mean(values)), abs(shift), shift, matrix))
        if fits and min(fits)[0] <= TOLERANCE:
            _, _, shift, matrix = min(fits)
            if guess - shift != known:
                _LOG.info("%s begins with frame %d of sequence %s", frames.video, guess - shift, sequence)
            return guess - shift, matrix
    return known, "ITU601"
