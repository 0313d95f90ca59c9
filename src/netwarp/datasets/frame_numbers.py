"""Read frame numbers in names, and cut numbered frames into clips at gaps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from netwarp.datasets.clips import Clip, ClipFrame


@dataclass(frozen=True)
class FrameNumber:
    """A name that holds a frame's number: the last number in it, and what stands before and after that."""

    before: str
    number: int
    digits: int
    after: str

    def name(self, number: int) -> str:
        """Name another frame of the same recording."""
        return f"{self.before}{number:0{self.digits}d}{self.after}"


def frame_number(name: str) -> FrameNumber | None:
    """Split a name without its suffix; None if there is no number in it.

    >>> frame_number("0006R0_f00930")
    FrameNumber(before='0006R0_f', number=930, digits=5, after='')
    """
    match = re.fullmatch(r"(.*?)([0-9]+)([^0-9]*)", name)
    return None if match is None else FrameNumber(match[1], int(match[2]), len(match[2]), match[3])


def runs(numbers: Iterable[int], gap: int = 1) -> list[list[int]]:
    """Sort numbers, and cut them wherever two neighbours differ by more than ``gap``.

    >>> runs([7, 1, 2, 4, 9], gap=2)
    [[1, 2, 4], [7, 9]]
    """
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number - found[-1][-1] <= gap:
            found[-1].append(number)
        else:
            found.append([number])
    return found


def clips_of(frames: Mapping[int, ClipFrame], gap: int = 1) -> list[Clip]:
    """Make a clip of each run of numbered frames, named as its first frame."""
    return [Clip(frames[run[0]].name, tuple(frames[number] for number in run)) for run in runs(frames, gap)]
