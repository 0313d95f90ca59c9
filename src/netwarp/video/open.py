"""Open a video file, a pipe, images, a camera, a stream or pictures in memory as frames.

Every source is lazy: a frame is read when it is asked for, and none is kept. The readers are imported where they are
used: ``netwarp.segment`` needs them, but PyAV only for what is not an image.
"""

from __future__ import annotations

import glob
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from netwarp.errors import ConfigurationError, InputError
from netwarp.video.source import Frame, FrameSource, Wrapped

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")

PATIENCE = 30.0
"""Seconds without a picture after which a camera or a stream that is segmented has ended."""


def open_frames(
    spec: str | Path | int | Iterable[Any],
    *,
    fps: float | None = None,
    start: float = 0.0,
    duration: float | None = None,
    patience: float = 0.0,
) -> FrameSource:
    """Open a source of frames and read its first frame, so that what cannot be used is refused here.

    Args:
        spec: A video file, or a pipe (``-`` is standard input); an image, or several in one file; a folder of images or
            a glob of them (in natural order of their names: ``frame2`` before ``frame10``; hidden files are left out),
            or a list of their paths; a camera's index (``0`` or ``"0"``, or its device, ``/dev/video0``); the URL of a
            stream (``rtsp://``, ``http://``, …); or RGB pictures uint8 ``[H,W,3]`` in memory, as an array
            ``[N,H,W,3]``, a list or an iterator.
        fps: Frames a second of what does not say it itself: images, pictures in memory, raw streams. By default 25, or
            what a raw stream's header says.
        start: Seconds that are left out at the beginning.
        duration: Seconds to read; all by default.
        patience: Seconds without a picture for which a camera or a stream that breaks is opened again; by default its
            frames end there.

    Returns:
        The source, of which ``loss`` says after iterating whether frames were lost.

    Raises:
        InputError: If it does not exist, or no frame can be read from it.
        ConfigurationError: A number makes no sense.
    """
    for name, value in (("fps", fps), ("duration", duration)):
        if value is not None and not 0 < value < math.inf:
            raise ConfigurationError(f"{{option}} must be above 0, not {value:g}", option=name)
    if not 0 <= start < math.inf:
        raise ConfigurationError(f"{{option}} must be at least 0 seconds, not {start:g}", option="start")
    source = _open(spec, fps, start)
    if patience and source.live and source.length is None:
        from netwarp.video.reconnecting import Reconnecting

        source = Reconnecting(source, lambda: _open(spec, fps, start), patience)
    if not start and duration is None:
        return source
    return Excerpt(source, start - source.begins, duration)


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


def _open(spec: str | Path | int | Iterable[Any], fps: float | None, start: float) -> FrameSource:
    if isinstance(spec, int) or (isinstance(spec, str) and spec.isdecimal()):
        from netwarp.video.live import open_camera

        try:
            return open_camera(int(spec))
        except InputError as error:
            if isinstance(spec, str) and Path(spec).exists():
                raise InputError(f"{error}; for the file or folder of that name write ./{spec}") from error
            raise
    if not isinstance(spec, (str, Path)):
        return _open_many(spec, fps)
    text = str(spec)
    if text.startswith("file://"):
        from urllib.parse import urlsplit
        from urllib.request import url2pathname

        return _open(Path(url2pathname(urlsplit(text).path)), fps, start)
    if isinstance(spec, str) and _URL.match(text):
        from netwarp.video.live import LiveStream

        return LiveStream(text)
    if "\0" in text or not text:
        raise InputError(f"{text!r} is not a file name: give a video file, a folder or glob of images, or a camera")
    return _open_path(Path("/dev/stdin" if text == "-" else text), fps, start)


def _open_many(frames: Iterable[Any], fps: float | None) -> FrameSource:
    if isinstance(frames, (list, tuple)) and frames and all(isinstance(each, (str, Path)) for each in frames):
        from netwarp.video.images import ImageFiles

        return ImageFiles([Path(each) for each in frames], description=f"{len(frames)} images", fps=fps or 25.0)
    from netwarp.video.in_memory import FramesInMemory

    return FramesInMemory(frames, fps)


def _open_path(path: Path, fps: float | None, start: float) -> FrameSource:
    from netwarp.video.images import ImageFiles, images_in, is_image, matching

    def still(files: Sequence[Path]) -> ImageFiles:
        return ImageFiles(files, description=str(path), fps=fps or 25.0)

    if not _exists(path):
        if path.is_symlink():
            raise InputError(f"{path} is a link to {path.readlink()}, which does not exist: fetch that, or mount it")
        if not glob.has_magic(str(path)):
            raise InputError(_missing(path))
        matches = matching(str(path))
        images = [match for match in matches if is_image(match)]
        if images:
            return still(images)
        if len(matches) != 1:
            raise InputError(
                f"{path} matches no file: check the pattern, and quote it so that the shell leaves it alone"
                if not matches
                else f"{path} matches {len(matches)} files but no image: name one video, or images"
            )
        path = matches[0]
    if path.is_dir():
        return still(images_in(path, tell=True))
    if is_image(path):
        from netwarp.video.pages import ImagePages, has_pages

        return ImagePages(path, fps) if has_pages(path) else still([path])
    if path.is_char_device():
        from netwarp.video.live import open_camera

        return open_camera(path)
    from netwarp.video.file import VideoFile

    return VideoFile(path, fps=fps, start=start)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def _missing(path: Path) -> str:
    import difflib

    if "%" in path.name:
        return f"{path} does not exist: for numbered images give a glob, such as {path.parent / '*.png'}"
    folder = path.parent
    if not folder.is_dir():
        return f"{path} does not exist, nor does its folder {folder}: check the path"
    try:
        names = [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError:
        names = []
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.6)
    hint = f"did you mean {folder / close[0]}?" if close else "check the path"
    return f"{path} does not exist: {hint}"
