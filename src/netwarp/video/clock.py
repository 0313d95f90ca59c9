"""Turn a source's seconds into ticks of a file's clock, which only goes forward."""

from __future__ import annotations

import math
from fractions import Fraction

_BACK, _AHEAD = 1.5, 600.0
"""Intervals back and seconds ahead from which a clock counts as started anew."""


class Clock:
    """Ticks that grow strictly.

    A repeated time, or one a little back, moves to the next tick. Where the clock steps back by more than an interval
    and a half, or far ahead, the file goes on one interval later, and all that follows is shifted alike.
    """

    def __init__(self, base: Fraction, interval: float) -> None:
        self.base, self._interval = base, interval
        self._offset = 0.0
        self.last: int | None = None

    def tick(self, time: float | None, interval: float | None = None) -> int:
        """The tick of a time, or of one ``interval`` after the last where there is none."""
        if self.last is None:
            self.last = 0 if time is None else round(time / self.base)
            return self.last
        last, step = float(self.last * self.base), interval or self._interval
        following = last + step
        shifted = following if time is None or not math.isfinite(time) else time + self._offset
        if not last - _BACK * step <= shifted <= last + _AHEAD:
            self._offset += following - shifted
            shifted = following
        self.last = max(self.last + 1, round(shifted / self.base))
        return self.last
