"""Frames that the caller holds: an array of them, a list, or whatever yields one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from typing import Any

import numpy as np

from netwarp.errors import InputError
from netwarp.video.source import Frame, FrameSource, Image


class FramesInMemory(FrameSource):
    """RGB pictures uint8 ``[H,W,3]`` as a video: an array ``[N,H,W,3]``, a list, an iterator; also of PIL's images.

    An iterator's pictures are taken one by one, and a second pass goes on where the first stopped.
    """

    timed = False

    def __init__(self, frames: Iterable[Any], fps: float | None = None) -> None:
        self.description = f"frames in memory ({type(frames).__name__})"
        shape = getattr(frames, "shape", None)
        if shape is not None and len(shape) != 4:
            raise InputError(f"an array of frames is uint8 [N,H,W,3], not {list(shape)}: give several, or frame[None]")
        try:
            self._pictures = iter(frames)
        except TypeError:
            raise InputError(
                f"{type(frames).__name__} is no source of frames: give a path, a camera's index, or RGB pictures uint8 "
                "[H,W,3] as an array, a list or an iterator"
            ) from None
        self._frames = frames
        self.fps = fps or 25.0
        self.length = len(frames) if isinstance(frames, Sized) else None
        self._first: Image | None = next(self._images(0), None)
        if self._first is None:
            raise InputError(f"{self.description}: there is none")
        self.size = (self._first.shape[0], self._first.shape[1])

    def __iter__(self) -> Iterator[Frame]:
        assert self.fps is not None
        first, self._first = self._first, None
        if first is not None:
            yield Frame(0, first, 0.0)
        elif not isinstance(self._frames, Iterator):
            self._pictures = iter(self._frames)
        begin = 0 if first is None else 1
        for index, image in enumerate(self._images(begin), begin):
            yield Frame(index, image, index / self.fps)

    def _images(self, index: int) -> Iterator[Image]:
        for number, picture in enumerate(self._pictures, index):
            image = np.asarray(picture)
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
                raise InputError(
                    f"frame {number} is {image.dtype} {list(image.shape)}: frames are RGB uint8 [H,W,3], from 0 to 255"
                )
            yield np.ascontiguousarray(image)
