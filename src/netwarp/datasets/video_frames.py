"""Take frames out of a video by their number, once, and keep them as PNG."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image

from netwarp.errors import ConfigurationError, InputError
from netwarp.input_files import check_regular
from netwarp.output_files import write_file
from netwarp.video.file import VideoFile
from netwarp.video.images import read_image
from netwarp.video.source import Image

_LOG = logging.getLogger(__name__)

_SUFFIXES = frozenset(
    {".mxf", ".avi", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".m2ts", ".mts", ".ts", ".wmv", ".dv"}
)

_LOOK = 1 << 20
"""Bytes that are looked at in three places of a video, to tell it from others."""

_FORMAT = 2
"""Raised whenever the same video would give other pixels: frames in folders are then taken anew."""


def is_video(path: Path) -> bool:
    """Whether a file's name is that of a video."""
    return path.suffix.lower() in _SUFFIXES


def default_cache() -> Path:
    """Return the default folder for frames: ``$XDG_CACHE_HOME/netwarp`` or ``~/.cache/netwarp``."""
    own = os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own) / "netwarp"
    try:
        return Path.home() / ".cache" / "netwarp"
    except RuntimeError as error:  # a user without an entry, as in a container
        raise ConfigurationError(
            "frames of videos are kept in the home folder, which is not known here: give {option}", option="cache"
        ) from error


class VideoFrames:
    """Frames of a video by their index from 0.

    Seeking does not find an index surely: the video is decoded from its start, once, up to the last frame that is
    wanted. It ends at damage, behind which no frame's index is known. ``notes`` about it are kept with the frames.
    """

    def __init__(
        self,
        video: Path,
        cache: Path | None = None,
        *,
        size: tuple[int, int] | None = None,
        matrix: str | None = None,
    ) -> None:
        self.video, self.size, self.matrix = video, size, matrix
        try:
            key = repr((_FORMAT, str(video.resolve()), _content(video), size))
        except OSError as error:
            raise InputError(f"{video} cannot be read: {error.strerror or error}") from error
        digest = hashlib.sha256(key.encode()).hexdigest()[:12]
        # A name may have 255 bytes, and this is longer than the video's.
        stem = os.fsdecode(os.fsencode(video.stem)[:200]).rstrip() if len(os.fsencode(video.stem)) > 200 else video.stem
        self.folder = (cache or default_cache()) / f"{stem}-{digest}"
        self.notes: dict[str, Any] = self._kept_notes()

    def scan(self, until: int) -> Iterator[tuple[int, Image]]:
        """Decode from the start up to a frame."""
        with VideoFile(self.video, after_damage="stop", matrix=self.matrix) as source:
            index = -1
            for index, frame in enumerate(source):
                if index > until:
                    return
                yield index, self._scaled(frame.image)
            self.notes["length"] = index + 1
            if source.loss is not None:
                _LOG.warning("%s; frames behind the damage are left out", source.loss)

    def take(self, wanted: Collection[int], look: Callable[[int, Image], None] | None = None, until: int = -1) -> None:
        """Keep frames, as far as the video has them."""
        missing = {index for index in wanted if index >= 0 and not self.path(index).exists()}
        missing = {index for index in missing if index < self.notes.get("length", index + 1)}
        last = max(until, *missing) if missing else until
        if last < 0:
            return
        if missing:
            _LOG.info("taking %d frames out of %s, once; they are kept in %s", len(missing), self.video, self.folder)
        for index, image in self.scan(last):
            if look is not None:
                look(index, image)
            if index in missing:
                self._write(self.path(index), _as_png(image))
        if "length" in self.notes:
            self.keep_notes()

    def has(self, index: int) -> bool:
        """Whether a frame is kept."""
        return index >= 0 and self.path(index).exists()

    def reader(self, index: int) -> Callable[[], Image]:
        """Return a function that reads a kept frame."""
        return partial(read_image, self.path(index))

    def path(self, index: int) -> Path:
        """Return the file of a frame."""
        return self.folder / (f"{index:06d}.png" if self.matrix is None else f"{index:06d}-{self.matrix}.png")

    def keep_notes(self) -> None:
        """Write :attr:`notes` beside the frames."""
        self._write(self.folder / "notes.json", json.dumps(self.notes, indent=1).encode())

    def _kept_notes(self) -> dict[str, Any]:
        try:
            notes = json.loads((self.folder / "notes.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return notes if isinstance(notes, dict) else {}

    def _write(self, path: Path, content: bytes) -> None:
        write_file(path, content, f"free space or name another cache folder for the frames of {self.video}")

    def _scaled(self, image: Image) -> Image:
        if self.size is None or image.shape[:2] == self.size:
            return image
        scaled = cv2.resize(image, self.size[::-1], interpolation=cv2.INTER_AREA)
        return np.asarray(scaled, np.uint8)


def _content(video: Path) -> tuple[int, int, str]:
    """What tells a video's content: size, time, and a digest of its beginning, middle and end."""
    check_regular(video)
    status, digest = video.stat(), hashlib.sha256()
    with video.open("rb") as file:
        for start in (0, status.st_size // 2, max(0, status.st_size - _LOOK)):
            file.seek(start)
            digest.update(file.read(_LOOK))
    return status.st_size, status.st_mtime_ns, digest.hexdigest()


def _as_png(image: Image) -> bytes:
    content = io.BytesIO()
    PIL.Image.fromarray(image).save(content, "PNG", compress_level=1)
    return content.getvalue()
