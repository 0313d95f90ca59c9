"""Files that appear whole or not at all: written beside their place, then renamed."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from netwarp.errors import OutputError

__all__ = ["cannot_write", "reason", "written_whole"]

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
