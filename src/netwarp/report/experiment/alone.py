"""One process at a time: whoever needs what another is making waits for it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from netwarp.data.output_path import prepare_folder

__all__ = ["alone_in"]


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Wait until nobody else is in a folder, and be alone in it for the block; on Windows nobody waits.

    The folder need not exist. Who is in it stands in a file beside it, which is gone when the block ends; where its
    process is killed, the file stays, and keeps nobody out.

    Args:
        folder: What is not to be shared.

    Raises:
        OutputError: The folder that it lies in cannot be written.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    prepare_folder(folder.parent)
    lock = folder.with_name(f".{folder.name}.lock")
    while True:
        with lock.open("w") as file:
            with contextlib.suppress(OSError):  # some network file systems have no locks
                fcntl.flock(file, fcntl.LOCK_EX)  # it ends with the process, however that ends
            if not _names(lock, file):
                continue  # whoever was here before took the file away: others meet at a new one
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return


def _names(path: Path, file: IO[str]) -> bool:
    """Whether a path still leads to an open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
