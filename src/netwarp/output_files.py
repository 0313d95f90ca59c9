"""Files that appear whole or not at all: written beside their place, then renamed."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from netwarp.errors import OutputError

__all__ = [
    "VIDEO_ENDINGS",
    "cannot_write",
    "check_places",
    "partial_path",
    "prepare_file",
    "prepare_folder",
    "reason",
    "same_file",
    "written_whole",
]

ADVICE = "free space or choose another place"


@contextlib.contextmanager
def written_whole(path: Path, advice: str = ADVICE) -> Iterator[BinaryIO]:
    """Open a file for writing that takes ``path``'s place when the block ends, and vanishes if it fails.

    Whoever reads ``path`` meanwhile sees the old file, or none, and several processes may write it at once. What is
    being written lies hidden in the same folder (``.NAME.….partial``), with the permissions that the umask gives.

    Args:
        path: The file to write; its folder is made where it does not exist.
        advice: What to do where it cannot be written, for the end of the error's line.

    Yields:
        The open file.

    Raises:
        OutputError: The folder cannot be made, or the file not written or renamed. So are ``OSError`` of the block.
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


def cannot_write(path: Path, error: Exception, advice: str = ADVICE) -> OutputError:
    """The error for a file that cannot be written, for the caller to raise.

    >>> str(cannot_write(Path("a.png"), OSError(28, "No space left on device")))
    'cannot write a.png (No space left on device): free space or choose another place'
    """
    return OutputError(f"cannot write {path} ({reason(error)}): {advice}")


def reason(error: Exception) -> str:
    """The cause of a failed write in one line: the system's words where there are any."""
    return str(getattr(error, "strerror", None) or error).split("\n", 1)[0] or type(error).__name__


VIDEO_ENDINGS = (".mp4", ".m4v", ".mov", ".mkv")
"""Names of video files that :class:`netwarp.video.writer.VideoWriter` writes."""


def partial_path(path: Path) -> Path:
    """Where a file is written until it is whole: hidden, in the same folder, of the same suffix.

    >>> partial_path(Path("out/street.mp4")).as_posix()
    'out/.street.partial.mp4'
    """
    return path.with_name(f".{path.stem}.partial{path.suffix}")


def prepare_folder(folder: Path) -> None:
    """Make a folder and see that a file can be written into it.

    Raises:
        OutputError: If it cannot be made, is a file, or takes no files.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".netwarp-{secrets.token_hex(4)}.probe"
        probe.touch()
        probe.unlink()
    except FileExistsError as error:
        raise OutputError(f"{folder} is a file, not a folder: choose another place") from error
    except NotADirectoryError as error:
        raise OutputError(f"{folder} lies below a file, not a folder: choose another place") from error
    except (OSError, ValueError) as error:
        raise OutputError(f"{folder} cannot be written to ({reason(error)}): choose another folder") from error


def prepare_file(path: Path, inputs: Iterable[Path] = ()) -> None:
    """See that a file can be written, making its folder where there is none.

    Args:
        path: The file; one that exists will be replaced.
        inputs: Files that are read meanwhile, which it must not be.

    Raises:
        OutputError: If it is a folder, is one of ``inputs``, or its folder cannot be written to.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder: name a file in it")
    for source in inputs:
        if same_file(path, source):
            raise OutputError(f"{path} is the input itself, which would be overwritten: choose another name")
    prepare_folder(path.parent)


def same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to one existing file."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def check_places(
    inputs: Iterable[Path], *, video: Path | None = None, masks: Path | None = None, file: Path | None = None
) -> None:
    """See, without writing anything, whether results can be put where they shall go.

    For use before work that takes long, such as loading a network; :func:`netwarp.inference.render.render` itself tries
    in earnest.

    Args:
        inputs: Files that are read meanwhile (``FrameSource.paths``).
        video: The video file.
        masks: The folder for label maps.
        file: Any other file.

    Raises:
        OutputError: The video has an unknown ending, a file is one of the inputs or a folder, or a place cannot be
            written.
    """
    if video is not None and video.suffix.lower() not in VIDEO_ENDINGS:
        raise OutputError(f"{video} has no ending of a video: name it {', '.join(VIDEO_ENDINGS)}")
    sources = tuple(inputs)
    for each in (video, file):
        if each is not None:
            _check_file(each, sources)
    if masks is not None:
        _check_folder(masks)


def _check_file(path: Path, inputs: tuple[Path, ...]) -> None:
    if any(same_file(path, source) for source in inputs):
        raise OutputError(f"{path} is the input itself, which would be overwritten: choose another name")
    if path.is_dir():
        raise OutputError(f"{path} is a folder: name a file in it")
    _check_folder(path.parent)


def _check_folder(folder: Path) -> None:
    """See whether files can be written into a folder, or the folder be made."""
    for place in (folder, *folder.parents):
        try:
            if not place.exists():
                continue
            if not place.is_dir():
                what = "is a file, not a folder" if place == folder else f"lies below the file {place}"
                raise OutputError(f"{folder} {what}: choose another place")
        except OSError as error:
            raise OutputError(f"{folder} cannot be written to ({error.strerror or error})") from error
        if not os.access(place, os.W_OK | os.X_OK):
            raise OutputError(f"{folder} cannot be written to (no permission in {place}): choose another place")
        return
