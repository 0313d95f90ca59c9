"""Write files whole or not at all, and see beforehand whether they can be written."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from netwarp.errors import OutputError

ADVICE = "free space or choose another place"

VIDEO_ENDINGS = (".mp4", ".m4v", ".mov", ".mkv")
"""Names of video files that :class:`netwarp.video.writer.VideoWriter` writes."""


@contextlib.contextmanager
def atomic_write(path: Path, advice: str = ADVICE) -> Iterator[BinaryIO]:
    """Open a file that takes ``path``'s place when the block ends, and vanishes if the block fails.

    Readers of ``path`` see the old file, or none, until then, and several processes may write it at once. The new one
    lies hidden in the same folder (``.NAME.….partial``), which is made where needed; the umask gives its permissions.
    An ``OSError``, also one of the block, becomes an ``OutputError`` that ends with ``advice``.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except ValueError as error:  # a name that holds a zero
            raise cannot_write(path, error, advice) from error
        with os.fdopen(descriptor, "wb") as file:
            yield file
        beside.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError, ValueError):
            beside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise cannot_write(path, error, advice) from error
        raise


def write_file(path: Path, content: bytes | str, advice: str = ADVICE) -> None:
    """Write a whole file by :func:`atomic_write`; a text as UTF-8."""
    with atomic_write(path, advice) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def cannot_write(path: Path, error: Exception, advice: str = ADVICE) -> OutputError:
    """Build the error for a file that cannot be written.

    >>> str(cannot_write(Path("a.png"), OSError(28, "No space left on device")))
    'cannot write a.png (No space left on device): free space or choose another place'
    """
    return OutputError(f"cannot write {path} ({reason(error)}): {advice}")


def reason(error: Exception) -> str:
    """Give the cause of a failed write in one line: the system's words where there are any."""
    return str(getattr(error, "strerror", None) or error).split("\n", 1)[0] or type(error).__name__


def prepare_folder(folder: Path) -> None:
    """Make a folder, and write and remove a file in it to see that this can be done."""
    _check_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".netwarp-{secrets.token_hex(4)}.probe"
        probe.touch()
        probe.unlink()
    except (OSError, ValueError) as error:
        raise OutputError(f"{folder} cannot be written to ({reason(error)}): choose another folder") from error


def prepare_file(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Make a file's folder and see that the file can be written; ``inputs`` are read meanwhile and must not be it."""
    _check_file(path, inputs)
    prepare_folder(path.parent)


def check_places(
    inputs: Iterable[Path], *, video: Path | None = None, masks: Path | None = None, file: Path | None = None
) -> None:
    """See, without writing anything, whether a video, a folder of label maps and another file can be written.

    For use before work that takes long, such as loading a network. ``inputs`` are the files that are read meanwhile.
    """
    if video is not None:
        check_video_name(video)
    sources = tuple(inputs)
    for each in (video, file):
        if each is not None:
            _check_file(each, sources)
            _check_folder(each.parent)
    if masks is not None:
        _check_folder(masks)


def check_video_name(path: Path) -> None:
    """See that a name ends as that of a video does."""
    if path.suffix.lower() not in VIDEO_ENDINGS:
        raise OutputError(f"{path} has no ending of a video: name it {', '.join(VIDEO_ENDINGS)}")


def _check_file(path: Path, inputs: Iterable[Path]) -> None:
    if path.is_dir():
        raise OutputError(f"{path} is a folder: name a file in it")
    for source in inputs:
        with contextlib.suppress(OSError):  # one of the two does not exist
            if path.samefile(source):
                raise OutputError(f"{path} is the input itself, which would be overwritten: choose another name")


def _check_folder(folder: Path) -> None:
    """See whether files can be written into a folder, or the folder be made."""
    for place in (folder, *folder.parents):
        try:
            if not place.exists():
                continue
            if not place.is_dir():
                what = "is a file, not a folder" if place == folder else f"lies below the file {place}"
                raise OutputError(f"{folder} {what}: choose another place")
        except (OSError, ValueError) as error:
            raise OutputError(f"{folder} cannot be written to ({reason(error)}): choose another folder") from error
        if not os.access(place, os.W_OK | os.X_OK):
            raise OutputError(f"{folder} cannot be written to (no permission in {place}): choose another place")
        return
