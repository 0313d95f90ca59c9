"""Sources that behave as a camera does: files are played at their rate, and streams opened again when they break."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from netwarp.errors import ConfigurationError, InputError
from netwarp.video.open import open_frames
from netwarp.video.source import Frame, FrameSource

log = logging.getLogger("netwarp")

FIRST_WAIT, LONGEST_WAIT = 0.5, 10.0
"""Seconds until a broken stream is opened again: the first time, and at most; each time twice as many."""


def open_as_camera(
    source: str | Path | int | FrameSource,
    *,
    loop: bool = False,
) -> FrameSource:
    """Open a source so that its frames come when a camera's would, and go on after a break.

    Args:
        source: A source, or what :func:`.open_frames` takes.
        loop: Play a file again and again.

    Raises:
        InputError: The source cannot be read.
        ConfigurationError: ``loop`` is asked of a camera or a stream.
    """
    opened = source if isinstance(source, FrameSource) else open_frames(source)
    recorded = not opened.live or opened.length is not None  # as a video file's address is
    if not recorded and loop:
        opened.close()
        raise ConfigurationError(
            f"loop plays a file again, and {opened.description} is live: leave it out", option="loop"
        )
    if recorded:
        return PlayedFile(opened, loop=loop)
    return opened if isinstance(source, FrameSource) else Reconnecting(opened, lambda: open_frames(source))


class _Wrapped(FrameSource):
    """What is known about another source, which is closed with it."""

    live = True

    def __init__(self, source: FrameSource) -> None:
        self._source = source
        self._closed = threading.Event()
        self.description, self.paths, self.fps, self.size = source.description, source.paths, source.fps, source.size
        self.pixel_aspect = source.pixel_aspect

    def stop(self) -> None:
        """End the frames, also for a thread that waits for the next one."""
        self._closed.set()
        self._source.stop()

    def close(self) -> None:
        """Close the source."""
        self.stop()
        self._source.close()


class PlayedFile(_Wrapped):
    """A recorded video whose frames come at their times, once or again and again."""

    def __init__(self, source: FrameSource, *, loop: bool = False) -> None:
        super().__init__(source)
        self._loop = loop

    def __iter__(self) -> Iterator[Frame]:
        """Wait for each frame's time."""
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
            if not self._loop or index == first:  # a stream is not read twice
                return
            offset += last + 1 / (self.fps or 25)


class Reconnecting(_Wrapped):
    """A camera or a stream that is opened again when it ends, after waits that grow.

    ``on_state`` is told in a line what the source does, when that changes.
    """

    def __init__(self, source: FrameSource, reopen: Callable[[], FrameSource]) -> None:
        super().__init__(source)
        self._reopen = reopen
        self.on_state: Callable[[str], None] = lambda state: None

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames of all connections, counted on; times go on by the clock."""
        index, began, wait = 0, time.monotonic(), FIRST_WAIT
        while not self._closed.is_set():
            offset, why = time.monotonic() - began if index else 0.0, "it ended"
            try:
                for frame in self._source:
                    yield replace(frame, index=index, time=offset + frame.time)
                    index, wait = index + 1, FIRST_WAIT
                why = self._source.loss or why
            except InputError as error:
                why = str(error)
            self._source.close()
            if not self._closed.is_set():
                log.warning("%s: no picture (%s): opening it again until it is there", self.description, why)
            while not self._closed.is_set():
                self.on_state(f"no picture ({why}): trying again in {wait:g} s")
                if self._closed.wait(wait):
                    return
                wait = min(2 * wait, LONGEST_WAIT)
                try:
                    self._source = self._reopen()
                except InputError as error:
                    why = str(error)
                    continue
                log.info("%s is there again", self.description)
                break
