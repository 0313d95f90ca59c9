"""Frame numbers in names, and which frames follow each other by them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["FrameNumber", "frame_number", "runs"]


@dataclass(frozen=True)
class FrameNumber:
    """A name that holds a frame's number.

    Attributes:
        before: What stands before the number: which recording it is, mostly.
        number: The last number in the name.
        digits: How many digits it is written with.
        after: What stands behind it.
    """

    before: str
    number: int
    digits: int
    after: str

    def name(self, number: int) -> str:
        """The name of another frame of the same recording."""
        return f"{self.before}{number:0{self.digits}d}{self.after}"


def frame_number(name: str) -> FrameNumber | None:
    """Take a name (without its suffix) apart; None if there is no number in it.

    >>> frame_number("0006R0_f00930")
    FrameNumber(before='0006R0_f', number=930, digits=5, after='')
    """
    match = re.fullmatch(r"(.*?)([0-9]+)([^0-9]*)", name)
    return None if match is None else FrameNumber(match[1], int(match[2]), len(match[2]), match[3])


def runs(numbers: Iterable[int], gap: int = 1) -> list[list[int]]:
    """Numbers in order, cut wherever two that follow each other differ by more than ``gap``.

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
