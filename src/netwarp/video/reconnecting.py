"""A camera or a stream that goes on after a break."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from netwarp.errors import InputError
from netwarp.video.source import Frame, FrameSource, Wrapped

log = logging.getLogger("netwarp")

FIRST_WAIT, LONGEST_WAIT = 0.5, 10.0
"""Seconds until a broken stream is opened again: the first time, and at most; each time twice as many."""


class Reconnecting(Wrapped):
    """A camera or a stream that is opened again when it ends, after waits that grow.

    After ``patience`` seconds without a picture it has ended. ``on_state`` is told in a line what the source does, when
    that changes. Tracks of sound that come back as others than at the beginning are left out.
    """

    def __init__(self, source: FrameSource, reopen: Callable[[], FrameSource], patience: float = math.inf) -> None:
        super().__init__(source)
        self._reopen, self._patience = reopen, patience
        self.on_state: Callable[[str], None] = lambda state: None

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames of all connections, counted on; times go on by the clock."""
        index, began, wait = 0, time.monotonic(), FIRST_WAIT
        seen, others, warned = began, self._other_tracks(), False
        while not self._closed.is_set():
            offset, why = time.monotonic() - began if index else 0.0, "it ended"
            try:
                for frame in self._source:
                    heard = (packet for packet in frame.sound if packet.track not in others)
                    sound = tuple(replace(packet, time=offset + packet.time) for packet in heard)
                    yield replace(frame, index=index, time=offset + frame.time, sound=sound)
                    index, wait, seen = index + 1, FIRST_WAIT, time.monotonic()
                why = self._source.loss or why
            except InputError as error:
                why = str(error)
            self._source.close()
            if not self._closed.is_set():
                log.warning("%s: no picture (%s): opening it again until it is there", self.description, why)
            while not self._closed.is_set():
                if time.monotonic() + wait > seen + self._patience:
                    self.loss = f"{self.description} gave no picture after frame {index} ({why}): it has ended"
                    return
                self.on_state(f"no picture ({why}): trying again in {wait:g} s")
                if self._closed.wait(wait):
                    return
                wait = min(2 * wait, LONGEST_WAIT)
                try:
                    self._source = self._reopen()
                except InputError as error:
                    why = str(error)
                    continue
                if self._closed.is_set():  # while it was opened
                    self._source.close()
                    return
                log.info("%s is there again", self.description)
                others = self._other_tracks()
                if others and not warned:
                    warned = True
                    log.warning("%s: its sound has changed: what is another than before is left out", self.description)
                break

    def _other_tracks(self) -> set[int]:
        """The tracks of the present connection that are not as the first one's of that number."""
        first = dict(enumerate(track.kind for track in self.sound))
        return {number for number, track in enumerate(self._source.sound) if track.kind != first.get(number)}
