"""The views of a frame that a network runs on: windows at several scales, each also mirrored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from netwarp.errors import ConfigurationError, unknown_name

Size = tuple[int, int]
"""(height, width)."""

LARGEST_SCALE = 10.0

Flip = bool | Literal["probabilities", "logits"]
"""Whether views are run mirrored too, and what of the two is fused: probabilities by their mean (True), or logits."""

FLIPS: Final = ("probabilities", "logits")


def scaled_size(size: Size, scale: float) -> Size:
    """(height, width) of a frame at a scale, by the release's protocol: ``round(scale · side) + 1``, halves upwards.

    >>> scaled_size((1024, 2048), 0.5)
    (513, 1025)
    """
    height, width = (math.floor(scale * side + 0.5) + 1 for side in size)
    return height, width


def starts(length: int, window: int, stride: int) -> tuple[int, ...]:
    """Where windows along an axis begin: ``⌈(length − window) / stride⌉ + 1`` of them, the last one at the border.

    >>> starts(2048, 713, 476)
    (0, 476, 952, 1335)
    """
    last = max(length - window, 0)
    return tuple(min(number * stride, last) for number in range(-(-last // stride) + 1))


@dataclass(frozen=True)
class View:
    """One window of one scale: its first row and column, and whether it is mirrored left to right."""

    top: int
    left: int
    mirrored: bool


@dataclass(frozen=True)
class Tiling:
    """The windows of one scale of a frame, in a grid."""

    size: Size  # of the frame at this scale
    window: Size  # of each window; where it is larger than the frame it reaches beyond its bottom or right
    tops: tuple[int, ...]  # first row of each row of windows
    lefts: tuple[int, ...]  # first column of each column of windows

    @property
    def padded(self) -> Size:
        """(height, width) that the windows cover: the frame's, or the window's where that is larger."""
        return max(self.size[0], self.window[0]), max(self.size[1], self.window[1])

    def views(self, flip: Flip) -> list[View]:
        """All windows row by row; with ``flip`` each is followed by its mirrored twin."""
        mirrored = (False, True) if flip else (False,)
        return [View(top, left, mirror) for top in self.tops for left in self.lefts for mirror in mirrored]

    def coverage(self) -> tuple[list[int], list[int]]:
        """The number of windows over each row of the frame, and over each column."""
        return (
            [sum(top <= y < top + self.window[0] for top in self.tops) for y in range(self.size[0])],
            [sum(left <= x < left + self.window[1] for left in self.lefts) for x in range(self.size[1])],
        )


@dataclass(frozen=True)
class Views:
    """The views of each frame; :meth:`of` checks them."""

    window: Size | None = None  # None for whole frames
    stride: Size | None = None  # vertically and horizontally from window to window; None without windows
    scales: tuple[float, ...] | None = None  # None for the frame's own size
    flip: Flip = False  # one of FLIPS where every view is run mirrored too

    @classmethod
    def of(
        cls,
        window: int | Sequence[int] | None = None,
        stride: int | Sequence[int] | None = None,
        scales: Sequence[float] | None = None,
        flip: Flip = False,
    ) -> Views:
        """Check options and fill in the default stride, two thirds of the window, rounded up (713 has 476)."""
        sides = None if window is None else _size("window", window)
        if stride is not None and sides is None:
            raise ConfigurationError("a stride is the step from window to window: give a window too")
        steps = None
        if sides is not None:
            steps = (-(-2 * sides[0] // 3), -(-2 * sides[1] // 3)) if stride is None else _size("stride", stride)
            if steps[0] > sides[0] or steps[1] > sides[1]:
                raise ConfigurationError(
                    f"a stride of {named(steps)} leaves gaps between windows of {named(sides)}: "
                    "it must not be larger than the window"
                )
        if not isinstance(flip, bool) and flip not in FLIPS:
            raise unknown_name("way to fuse mirrors", str(flip), FLIPS)
        return cls(sides, steps, None if scales is None else _scales(scales), FLIPS[0] if flip is True else flip)

    def __bool__(self) -> bool:
        """False for each frame once, whole, as it is."""
        return self != Views()

    def tilings(self, frame: Size) -> list[Tiling]:
        """The windows over a frame of (height, width), scale by scale."""
        sizes = [frame] if self.scales is None else [scaled_size(frame, scale) for scale in self.scales]
        return [self._over(size) for size in sizes]

    def first(self, frame: Size) -> Size:
        """(height, width) of the first view of a frame, to try a network on."""
        return self.tilings(frame)[0].window

    def pixels(self, frame: Size) -> int:
        each = (t.window[0] * t.window[1] * len(t.tops) * len(t.lefts) for t in self.tilings(frame))
        return sum(each) * (2 if self.flip else 1)

    def _over(self, size: Size) -> Tiling:
        if self.window is None or self.stride is None:
            return Tiling(size, size, (0,), (0,))
        along = zip(size, self.window, self.stride, strict=True)
        tops, lefts = (starts(length, window, stride) for length, window, stride in along)
        return Tiling(size, self.window, tops, lefts)


def _size(name: str, value: int | Sequence[int]) -> Size:
    sides = (value, value) if isinstance(value, int) else value
    if (
        not isinstance(sides, (tuple, list))
        or len(sides) != 2
        or not all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides)
    ):
        raise ConfigurationError(f"a {name} must be a positive side or (height, width) in pixels, not {value!r}")
    return sides[0], sides[1]


def _scales(scales: Sequence[float]) -> tuple[float, ...]:
    if isinstance(scales, str) or not isinstance(scales, Sequence) or not scales:
        raise ConfigurationError(f"scales must be a list of numbers such as (0.5, 1, 1.5), not {scales!r}")
    for scale in scales:
        number = isinstance(scale, (int, float)) and not isinstance(scale, bool)
        # Written so that NaN fails too.
        if not (number and 0 < scale <= LARGEST_SCALE):
            raise ConfigurationError(f"a scale must be a number above 0 and at most {LARGEST_SCALE:g}, not {scale!r}")
    if len(set(scales)) < len(scales):
        raise ConfigurationError(f"scales must differ, but {', '.join(f'{s:g}' for s in scales)} has one twice")
    return tuple(float(scale) for scale in scales)


def named(size: Size) -> str:
    """A (height, width) as everybody writes it."""
    return f"{size[1]}×{size[0]}"
