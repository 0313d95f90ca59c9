"""Open a video file, a folder or glob of images, a camera or a stream as frames.

Every source is lazy: a frame is read when it is asked for, and none is kept. The readers are imported where they are
used: ``netwarp.segment`` needs them, but PyAV only for what is not an image.
"""

from __future__ import annotations

import glob
import re
from pathlib import Path

from netwarp.errors import InputError
from netwarp.video.source import AfterDamage, FrameSource

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")


def open_frames(
    spec: str | Path | int, *, image_fps: float = 25.0, after_damage: AfterDamage = "resume"
) -> FrameSource:
    """Open a source of frames and read its first frame, so that what cannot be used is refused here.

    Args:
        spec: A video file; an image; a folder of images or a glob of them (in natural order of their names:
            ``frame2`` before ``frame10``; hidden files are left out); a camera's index (``0`` or ``"0"``,
            or its device, ``/dev/video0``); or the URL of a stream (``rtsp://``, ``http://``, …).
        image_fps: Frames a second of images.
        after_damage: At damage inside a video file, end there (``"stop"``) or leave out what cannot be read
            and go on at the next key frame (``"resume"``). Streams always resume.

    Returns:
        The source, of which ``loss`` says after iterating whether frames were lost.

    Raises:
        InputError: If it does not exist, or no frame can be read from it.
    """
    if isinstance(spec, int) or (isinstance(spec, str) and spec.isdecimal()):
        from netwarp.video.live import open_camera

        try:
            return open_camera(int(spec))
        except InputError as error:
            if isinstance(spec, str) and Path(spec).exists():
                raise InputError(f"{error}; for the file or folder of that name write ./{spec}") from error
            raise
    text = str(spec)
    if text.startswith("file://"):
        from urllib.parse import urlsplit
        from urllib.request import url2pathname

        return open_frames(Path(url2pathname(urlsplit(text).path)), image_fps=image_fps, after_damage=after_damage)
    if isinstance(spec, str) and _URL.match(text):
        from netwarp.video.live import LiveStream

        return LiveStream(text)
    if "\0" in text or not text:
        raise InputError(f"{text!r} is not a file name: give a video file, a folder or glob of images, or a camera")
    return _open_path(Path(text), image_fps, after_damage)


def _open_path(path: Path, image_fps: float, after_damage: AfterDamage) -> FrameSource:
    from netwarp.video.images import ImageFiles, images_in, is_image, matching

    if not _exists(path):
        if not glob.has_magic(str(path)):
            raise InputError(_missing(path))
        matches = matching(str(path))
        images = [match for match in matches if is_image(match)]
        if images:
            return ImageFiles(images, description=str(path), fps=image_fps)
        if len(matches) != 1:
            raise InputError(
                f"{path} matches no file: check the pattern, and quote it so that the shell leaves it alone"
                if not matches
                else f"{path} matches {len(matches)} files but no image: name one video, or images"
            )
        path = matches[0]
    if path.is_dir():
        return ImageFiles(images_in(path), description=str(path), fps=image_fps)
    if is_image(path):
        return ImageFiles([path], description=str(path), fps=image_fps)
    if path.is_char_device():
        from netwarp.video.live import open_camera

        return open_camera(path)
    from netwarp.video.file import VideoFile

    return VideoFile(path, after_damage=after_damage)


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
