"""What experiments write: files that appear whole, and where one cannot be written, ``--out`` is what to change."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from netwarp.atomic import written_whole

__all__ = ["write_text", "written"]


def written(path: Path) -> AbstractContextManager[BinaryIO]:
    """Open a file for writing; see :func:`netwarp.atomic.written_whole`."""
    return written_whole(path, "free space or choose another --out")


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8.

    Raises:
        OutputError: The file cannot be written.
    """
    with written(path) as file:
        file.write(text.encode())
