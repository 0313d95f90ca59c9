"""Files that appear whole or not at all: written beside their place, then renamed."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["written_whole"]


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes ``path``'s place when the block ends, and vanishes if it fails.

    Whoever reads ``path`` meanwhile sees the old file, or none, and several processes may write it at once. What is
    being written lies hidden in the same folder (``.NAME.….partial``), with the permissions that the umask gives.

    Args:
        path: The file to write; its folder is made where it does not exist.

    Yields:
        The open file.

    Raises:
        OSError: The folder cannot be made, or the file not written or renamed. For the caller to put into words.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
            yield file
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
