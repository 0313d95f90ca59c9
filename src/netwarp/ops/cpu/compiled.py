"""How loops become machine code. Only loops import this, and :mod:`netwarp.ops.cpu` imports them when they are needed.

A loop calls no loop of another file: numba, which keeps what it compiled on disk, looks at a function's own file to see
whether it has changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
from numpy.typing import NDArray

Array = NDArray[Any]
Group = tuple[Array, ...]
Size = tuple[int, int]  # (h, w)
Loop = TypeVar("Loop", bound=Callable[..., Any])


def compiled(loop: Loop, **options: Any) -> Loop:  # noqa: ANN401
    """The loop as machine code, made when it is first called.

    It is kept on disk beside its file or, where that may not be written, in the user's cache; see ``NUMBA_CACHE_DIR``.
    """
    try:
        machine_code: Loop = numba.njit(nogil=True, cache=True, **options)(loop)
    except RuntimeError:  # numba found no folder that it may write to
        machine_code = numba.njit(nogil=True, **options)(loop)
    return machine_code


def compiled_sums(loop: Loop) -> Loop:
    """The same, with sums taken in whatever order is fastest (always the same one)."""
    return compiled(loop, fastmath={"reassoc"})
