"""Sources that behave as a camera does: files are played at their rate, and streams opened again when they break."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from netwarp.errors import ConfigurationError
from netwarp.video.open import open_frames
from netwarp.video.source import Frame, FrameSource, Wrapped


def open_as_camera(source: str | Path | int | FrameSource, *, loop: bool = False) -> FrameSource:
    """Open a source, or what :func:`.open_frames` takes, so that its frames come when a camera's would.

    They go on after a break, and with ``loop`` a file again and again; to ask that of a camera is a ConfigurationError.
    """
    opened = source if isinstance(source, FrameSource) else open_frames(source, patience=math.inf)
    recorded = not opened.live or opened.length is not None  # as a video file's address is
    if not recorded and loop:
        opened.close()
        raise ConfigurationError(
            f"loop plays a file again, and {opened.description} is live: leave it out", option="loop"
        )
    return PlayedFile(opened, loop=loop) if recorded else opened


class PlayedFile(Wrapped):
    """A recorded video whose frames come at their times, once or again and again."""

    def __init__(self, source: FrameSource, *, loop: bool = False) -> None:
        super().__init__(source)
        self.live, self.loops = True, loop

    def __iter__(self) -> Iterator[Frame]:
        index, began, offset = 0, time.monotonic(), 0.0
        while not self._closed.is_set():
            last, first = 0.0, index
            for frame in self._source:
                last = max(last, frame.time)
                if self._closed.wait(max(0.0, began + offset + frame.time - time.monotonic())):
                    return
                yield replace(frame, index=index, time=offset + frame.time)
                index += 1
            self.loss = self._source.loss
            if not self.loops or index == first:  # a stream is not read twice
                return
            offset += last + 1 / (self.fps or 25)
