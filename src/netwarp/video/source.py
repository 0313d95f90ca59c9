"""The protocol of frame sources: frames in order, and what is known about them beforehand."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""A picture: RGB uint8 ``[H, W, 3]``, contiguous, upright."""

MOST_PIXELS = 64_000_000
"""Of a frame; 8K has half as many. What claims more is refused before memory is taken for it."""

AfterDamage = Literal["stop", "resume"]
"""What to do at damage in mid-video: end there, or go on at the next key frame."""


@dataclass(frozen=True, eq=False)
class SoundPacket:
    """Coded sound of one of a video's tracks: its number, its bytes, and seconds since the first frame."""

    track: int
    data: bytes
    time: float
    duration: float


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a video.

    Attributes:
        index: Position among the frames that were read, from 0.
        image: RGB uint8 ``[H, W, 3]``, contiguous, upright; what is transparent is laid over black.
        time: Seconds since the first frame, by the source's clock: it may be unevenly spaced (variable frame rate) and
            go back (a stream that restarts).
        name: The image file's stem; ``None`` for video.
        duration: Seconds for which it is shown; ``None`` where the source does not say it.
        sound: Coded sound that stands beside it in the file.
        read_at: When it was read, by ``time.monotonic``, where a stream counts its lag.
    """

    index: int
    image: Image
    time: float
    name: str | None = None
    duration: float | None = None
    sound: tuple[SoundPacket, ...] = ()
    read_at: float = 0.0


class FrameSource(ABC):
    """Frames in order, as a context manager; leaving it closes it.

    Attributes:
        description: What is read, for messages.
        fps: Average frames a second; ``None`` where unknown.
        length: Number of frames, declared or computed from duration and rate, so a few may be wrong; ``None`` where
            unknown.
        size: (height, width) of the first frame, upright. Later frames may differ.
        live: Whether it goes on for ever, as a camera does.
        paths: The files that are read; none for cameras and streams.
        timed: Whether the source says when its frames are shown; else they are as far apart as the caller said.
        begins: Seconds of the video that lie before its first frame here.
        pixel_aspect: Width of an upright frame's pixel over its height; not 1 on DVDs and some tapes.
        sound: The tracks of coded sound that frames carry (:class:`netwarp.video.sound.SoundTrack`).
        loss: After iterating, one line that says which frames could not be read; ``None`` where all were.
    """

    description: str
    fps: float | None = None
    length: int | None = None
    size: tuple[int, int] | None = None
    live: bool = False
    paths: tuple[Path, ...] = ()
    timed: bool = True
    begins: float = 0.0
    pixel_aspect: Fraction = Fraction(1)
    sound: tuple[Any, ...] = ()
    loss: str | None = None

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames; raise ``InputError`` where one cannot be read at all."""

    def stop(self) -> None:  # noqa: B027 (most sources do not wait for long)
        """Let another thread that waits for a frame find the end instead."""

    def close(self) -> None:  # noqa: B027 (what reads single files has nothing to close)
        """Close files and devices; closing twice does no harm."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Wrapped(FrameSource):
    """The frames of another source, changed; it is closed with this one."""

    def __init__(self, source: FrameSource) -> None:
        self._source = source
        self._closed = threading.Event()
        for name in ("description", "paths", "fps", "size", "timed", "live", "pixel_aspect", "sound"):
            setattr(self, name, getattr(source, name))

    def stop(self) -> None:
        """End the frames, also for a thread that waits for the next one."""
        self._closed.set()
        self._source.stop()

    def close(self) -> None:
        """Close the source."""
        self.stop()
        self._source.close()
