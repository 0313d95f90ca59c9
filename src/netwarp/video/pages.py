"""Read frames from one file of several pictures: a TIFF stack, an animated WebP, PNG or AVIF."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import PIL.Image

from netwarp.video.images import opened_image, upright_image
from netwarp.video.source import Frame, FrameSource

_LOG = logging.getLogger("netwarp")

_MOVING = ("WEBP", "PNG", "AVIF")
_SUBFILE_TYPE, _SMALLER, _MASK = 254, 1, 4
"""TIFF's tag, and the bits of it that mark a smaller copy of another page, and a mask."""


def has_pages(path: Path) -> bool:
    """Whether an image file holds several pictures that make a video.

    A photograph with its preview, gain map or other eye (MPO) does not.
    """
    with opened_image(path) as picture:
        return picture.format in ("TIFF", *_MOVING) and len(_pages(picture)) > 1


def _pages(picture: PIL.Image.Image) -> list[int]:
    """Which pictures are frames: not the one that viewers without animation show, copies in other sizes, or masks."""
    pages = list(range(getattr(picture, "n_frames", 1)))
    if getattr(picture, "default_image", False):  # of a PNG
        pages = pages[1:]
    if picture.format == "TIFF" and len(pages) > 1:
        pages = [page for page in pages if not _kind(picture, page) & (_SMALLER | _MASK)] or pages[:1]
    return pages


def _kind(picture: PIL.Image.Image, page: int) -> int:
    picture.seek(page)
    tags = getattr(picture, "tag_v2", {})
    return int(tags.get(_SUBFILE_TYPE, 0))


class ImagePages(FrameSource):
    """The pictures of one file as a video; frames of a stack may differ in size."""

    def __init__(self, path: Path, fps: float | None = None) -> None:
        self.description, self.paths = str(path), (path,)
        with opened_image(path) as picture:
            self._frames = _pages(picture)
            self.timed = picture.format in _MOVING
            self.fps = fps or 25.0
            if self.timed:
                self._durations = [_seconds(picture, page) or 1 / self.fps for page in self._frames]
                self.fps = len(self._durations) / sum(self._durations)
            else:
                self._durations = [1 / self.fps] * len(self._frames)
            left_out = getattr(picture, "n_frames", 1) - len(self._frames)
            picture.seek(self._frames[0])
            height, width = upright_image(picture).shape[:2]
        self.length, self.size = len(self._frames), (height, width)
        if left_out and not self.timed:
            _LOG.warning("%s: %d of its pages are smaller copies or masks, which are left out", path, left_out)

    def __iter__(self) -> Iterator[Frame]:
        time = 0.0
        with opened_image(self.paths[0]) as picture:
            for index, (page, duration) in enumerate(zip(self._frames, self._durations, strict=True)):
                picture.seek(page)
                yield Frame(index, upright_image(picture), time, duration=duration)
                time += duration


def _seconds(picture: PIL.Image.Image, page: int) -> float:
    """How long a picture is shown; 0 where it does not say."""
    picture.seek(page)
    picture.load()  # only then WebP and AVIF know it
    return float(picture.info.get("duration", 0) or 0) / 1000
