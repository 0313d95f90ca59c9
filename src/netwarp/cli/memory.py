"""A process-wide setting of the C library that networks on a CPU gain from."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_freed_memory"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGE = 1 << 30


def keep_freed_memory() -> None:
    """Let this process keep memory that it frees, for what it allocates next. Does nothing where that cannot be said.

    glibc gives large blocks back to the system at once and asks for them again: a network that allocates as much for
    every frame then spends a fifth of its time, and more with several threads, on pages that the system hands over.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # a C library without it
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGE)
    mallopt(_M_TRIM_THRESHOLD, _LARGE)
