"""Memory that a process has freed and keeps, for what it allocates next."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGE = 1 << 30


@cache
def keep_freed_memory() -> None:
    """Let this process keep memory that it frees, from the first call on. Does nothing where that cannot be said.

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
