"""Starting a kernel on its tensors' GPU, and telling want of a compiler from everything else that may go wrong."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from netwarp.ops.kernels import NotCompiledError


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


REAL = {torch.float32: tl.float32, torch.float64: tl.float64}

NO_COMPILER = ("C compiler", "PassManager", "active drivers", "libcuda.so")
"""Parts of messages of errors that have no class of their own: Triton needs a C compiler for what calls its kernels,
LLVM's passes fail like this, and Triton looks for the driver on its own."""


def launch(kernel: Any, programs: int, warps: int, *arguments: Tensor | int | None, **constants: Any) -> None:  # noqa: ANN401
    """Start a kernel on the current stream of its tensors' device; does not wait for it."""
    device = next(argument.device for argument in arguments if isinstance(argument, Tensor))
    constants = {name: REAL[value] if isinstance(value, torch.dtype) else value for name, value in constants.items()}
    try:
        # Triton goes by PyTorch's current device; the interpreter, which tests use, by none.
        with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
            kernel[(programs,)](*arguments, num_warps=warps, **constants)
    except Exception as error:
        if wants_compiler(error):
            raise NotCompiledError from error
        raise


def wants_compiler(error: Exception) -> bool:
    """Whether an error says that Triton compiles nothing here, and not that a kernel or its use is wrong."""
    if isinstance(error, triton.runtime.errors.InterpreterError):
        return False
    if isinstance(error, (triton.errors.TritonError, subprocess.CalledProcessError, ImportError, OSError)):
        return True
    return isinstance(error, (RuntimeError, AssertionError)) and any(sign in str(error) for sign in NO_COMPILER)
