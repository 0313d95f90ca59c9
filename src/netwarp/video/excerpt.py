"""A part of a source: from a second on, for so many seconds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from netwarp.errors import InputError
from netwarp.video.source import Frame, FrameSource, Wrapped


class Excerpt(Wrapped):
    """The frames of a source from ``start`` seconds on, ``duration`` seconds of them; index and time begin with 0."""

    def __init__(self, source: FrameSource, start: float = 0.0, duration: float | None = None) -> None:
        super().__init__(source)
        self._start, self._duration = start, duration
        if source.length is not None and source.fps:
            left = max(0, source.length - round(start * source.fps))
            self.length = left if duration is None else min(left, max(1, math.ceil(duration * source.fps - 1e-3)))

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames; what is lost behind the last of them is no loss."""
        index, begun, last = 0, 0.0, 0.0
        self.loss = None
        for frame in self._source:
            if frame.time < self._start - 1e-6:
                continue
            begun = begun if index else frame.time
            time = frame.time - begun
            if self._duration is not None and time >= self._duration - 1e-6:
                if index and self._duration - last > 1.5 / (self.fps or 25):  # it ends in what was lost
                    self.loss = self._source.loss
                return
            last = time
            sound = tuple(replace(packet, time=packet.time - begun) for packet in frame.sound if packet.time >= begun)
            self.loss = self._source.loss
            yield replace(frame, index=index, time=time, sound=sound)
            index += 1
        self.loss = self._source.loss
        if not index:
            raise InputError(f"{self.description} has no frame from {self._start:g} s on: give an earlier start")
