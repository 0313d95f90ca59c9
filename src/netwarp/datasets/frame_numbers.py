"""Read frame numbers in names, and cut numbered frames into clips at gaps."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from netwarp.datasets.clips import Clip, ClipFrame

Item = TypeVar("Item")


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


def runs(items: Iterable[Item], follows: Callable[[Item, Item], bool]) -> list[list[Item]]:
    """Cut a series wherever an item does not follow the one before it.

    >>> runs([1, 2, 4, 7, 9], lambda one, other: other - one <= 2)
    [[1, 2, 4], [7, 9]]
    """
    found: list[list[Item]] = []
    for item in items:
        if found and follows(found[-1][-1], item):
            found[-1].append(item)
        else:
            found.append([item])
    return found


def clips_of(frames: Mapping[int, ClipFrame], gap: int = 1) -> list[Clip]:
    """Make a clip of each run of numbered frames, named as its first frame."""
    found = runs(sorted(frames), lambda one, other: other - one <= gap)
    return [Clip(frames[run[0]].name, tuple(frames[number] for number in run)) for run in found]
