"""The video that is streamed: a rendered street as a file, so that decoding counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from netwarp.data.frames import Frame, FrameSource, open_frames
from netwarp.data.streets import render_clip
from netwarp.data.video_writer import VideoWriter

__all__ = ["AHEAD", "open_street", "write_street"]

AHEAD = 8
"""Frames that a video has behind the last one that counts: more than reading and flow are ever ahead of the network.

Streams are timed between two results, while the video goes on. What was prepared before the first of them is as much
as what is prepared, but not used, at the last: no work is counted that belongs to other frames, and none is missing.
"""

RENDERED = 16
"""Frames that are rendered; longer videos go there and back over them."""

SEED = 3


def write_street(folder: Path, size: tuple[int, int], frames: int) -> Path:
    """Write a video of a drive through a street, unless it is there.

    Args:
        folder: Where to.
        size: (height, width).
        frames: At least so many.

    Returns:
        The file, an ``.mp4``.
    """
    path = folder / f"street-{size[1]}x{size[0]}-{frames}.mp4"
    if not path.exists():
        images = [frame.image for frame in render_clip(SEED, min(frames, RENDERED), size)]
        with VideoWriter(path, fps=15) as writer:
            for image in islice(cycle(images + images[-2:0:-1]), frames):
                writer.write(image)
    return path


def open_street(path: Path, size: tuple[int, int]) -> FrameSource:
    """Open a video that :func:`write_street` wrote: frames of exactly that size, also where H.264 wants even sides."""
    source = open_frames(path)
    return source if source.size == size else _Cut(source, size)


class _Cut(FrameSource):
    """Frames without their last row or column."""

    def __init__(self, source: FrameSource, size: tuple[int, int]) -> None:
        self._source = source
        self.description, self.paths = source.description, source.paths
        self.fps, self.length, self.size = source.fps, source.length, size

    def __iter__(self) -> Iterator[Frame]:
        height, width = self.size or (0, 0)
        for frame in self._source:
            yield replace(frame, image=np.ascontiguousarray(frame.image[:height, :width]))

    def close(self) -> None:
        self._source.close()
