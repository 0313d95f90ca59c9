"""Read video from a pipe: once, forward only, and never waiting longer than its reader wants to."""

from __future__ import annotations

import os
import select
import stat
import sys
from pathlib import Path

from netwarp.errors import InputError

_LOOK = 0.2
"""Seconds between looks whether to stop waiting."""


def is_pipe(path: Path) -> bool:
    """Whether a path is a pipe or socket: a named one, standard input, or what a shell makes of ``<(…)``."""
    mode = path.stat().st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


class Pipe:
    """What FFmpeg needs of a file: ``read``, and a name by whose ending it may know the format.

    ``head`` is how it begins. ``interrupt`` holds what was raised while FFmpeg was waiting, which it would swallow.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.head = b""
        self.interrupt: BaseException | None = None
        self._stopped = False
        try:
            # A socket cannot be opened by its path; standard input is open already.
            standard = sys.stdin is not None and os.path.samestat(path.stat(), os.fstat(0))
            self._descriptor = os.dup(0) if standard else os.open(path, os.O_RDONLY)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}") from error

    def read(self, count: int) -> bytes:
        """Up to so many bytes as soon as there are any; none at the end, or once stopped."""
        try:
            while not self._stopped and not select.select([self._descriptor], [], [], _LOOK)[0]:
                pass
            found = b"" if self._stopped else os.read(self._descriptor, count)
        except BaseException as error:  # FFmpeg, which called this, would swallow it
            self.interrupt = error
            return b""
        self.head = self.head or found[:16]
        return found

    def stop(self) -> None:
        """Let a read that waits, in another thread, find nothing more."""
        self._stopped = True

    def close(self) -> None:
        """Close it; nothing may be reading."""
        self.stop()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
