"""How much memory this process has at the moment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["resident_mib"]

MIB = 2**20


def resident_mib() -> float:
    """Resident memory of this process in MiB; where the system does not tell the present value, the largest so far."""
    statm = Path("/proc/self/statm")
    if statm.is_file():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB
    import resource

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / MIB if sys.platform == "darwin" else largest / 1024
