"""Where results go: checked before any work, written beside, moved into place when whole."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from pathlib import Path

from netwarp.atomic import reason
from netwarp.errors import OutputError

__all__ = ["VIDEO_ENDINGS", "partial_path", "prepare_file", "prepare_folder", "same_file"]

VIDEO_ENDINGS = (".mp4", ".m4v", ".mov", ".mkv")
"""Names of video files that :class:`netwarp.data.video_writer.VideoWriter` writes."""


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
