"""How functions become code of a GPU. Only kernels import this, and :mod:`netwarp.ops.cuda` imports them when needed.

A kernel is a function that runs once for each *program* of a launch, all at once and in any order; its values are
blocks. Of what it takes, a ``tl.pointer_type`` is where a tensor begins, or None where there is none; what is annotated
as ``tl.constexpr`` is known when it is compiled, and compiled in, and so is None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import triton


def kernel(function: Callable[..., None]) -> Any:  # noqa: ANN401
    """A function that is launched; compiled when that first happens, and kept on disk in Triton's cache.

    Its ``int`` arguments are sizes, and sizes vary: Triton would compile another kernel for those that are 1 and those
    that are multiples of 16. What must be known to be one is a ``tl.constexpr``.
    """
    sizes = [name for name, kind in function.__annotations__.items() if kind == "int"]
    return triton.jit(do_not_specialize=sizes)(function)


def device_function(function: Callable[..., Any]) -> Any:  # noqa: ANN401
    """A function that kernels call, compiled into them."""
    return triton.jit(function)
