"""Tensors in, loops over them on several threads, tensors out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from netwarp.ops.cpu import cells, channels_last, planes
from netwarp.ops.cpu.arrays import Arrays
from netwarp.ops.cpu.threads import in_parts
from netwarp.ops.fallback import NotCompiledError

__all__ = ["combine", "gradients"]

_compiled: set[tuple[Callable[..., None], np.dtype[Any]]] = set()
"""Loops and the dtype of their arrays, which is what they are compiled for."""


def combine(
    current: Tensor | None, previous: Tensor, flow: Tensor, w1: Tensor | None, w2: Tensor | None, gate: Tensor | None
) -> Tensor:
    """See :meth:`netwarp.ops.kernels.Kernel.combine`."""
    arrays = Arrays(previous if current is None else current, previous, flow)
    result = arrays.new_map()
    combine_into(result, arrays, current, previous, flow, w1, w2, gate)
    return result.to(previous.dtype)


def combine_into(
    result: Tensor,
    arrays: Arrays,
    current: Tensor | None,
    previous: Tensor,
    flow: Tensor,
    w1: Tensor | None,
    w2: Tensor | None,
    gate: Tensor | None,
) -> None:
    """The same into a tensor like :meth:`Arrays.new_map`'s."""
    loop = channels_last.combine if arrays.channels_last else planes.combine
    sources = arrays.maps(current), arrays.maps(previous), *_cells(arrays, flow)
    weights = arrays.weights(w1), arrays.weights(w2), arrays.pixels(gate)
    _run(loop, (*sources, *weights, arrays.maps(result), *arrays.size), arrays.rows, result.numel())


def gradients(
    grad: Tensor,
    current: Tensor | None,
    previous: Tensor,
    flow: Tensor,
    w1: Tensor | None,
    w2: Tensor | None,
    gate: Tensor | None,
    needed: Sequence[bool],
) -> list[Tensor]:
    """See :meth:`netwarp.ops.kernels.Kernel.gradients`."""
    arrays = Arrays(previous if current is None else current, previous, flow)
    loops: Any = channels_last if arrays.channels_last else planes
    pulled, located, trust = arrays.maps(grad), _cells(arrays, flow), arrays.pixels(gate)
    # The warp alone is 1 times what was brought.
    w2_or_one = arrays.weights(torch.ones(arrays.channels) if w2 is None else w2)
    results = arrays.new_gradients(needed)
    of_current, of_previous, of_flow, of_w1, of_w2, of_gate = results
    work = 2 * grad.numel()
    if any(result is not None for result in results if result is not of_previous):
        sources = arrays.maps(current), arrays.maps(previous), *located, arrays.weights(w1), w2_or_one, trust
        ways_out = (
            arrays.maps(of_current),
            arrays.planes(of_flow),
            arrays.weights(of_w1, 2),
            arrays.weights(of_w2, 2),
            arrays.pixels(of_gate),
        )
        _run(loops.pull, (pulled, *sources, *ways_out, *arrays.size), arrays.rows, work)
    if of_flow is not None:
        _run(cells.hold, (arrays.flow(flow), arrays.flow(of_flow)), arrays.rows, _located_work(arrays))
    if of_previous is not None:
        targets = arrays.rows if arrays.channels_last else arrays.batch * arrays.channels
        _run(loops.scatter, (pulled, *located, w2_or_one, trust, arrays.maps(of_previous), *arrays.size), targets, work)
    # A row's sum is float32, as a row is short; that of all rows is not.
    whole = (of_current, of_previous, of_flow, *(_total(rows) for rows in (of_w1, of_w2)), of_gate)
    asked = zip(whole, (current, previous, flow, w1, w2, gate), strict=True)
    return [result.to(source.dtype) for result, source in asked if result is not None and source is not None]


def _total(rows: Tensor | None) -> Tensor | None:
    return None if rows is None else torch.from_numpy(rows.numpy().sum(0, dtype=np.float64))


def _located_work(arrays: Arrays) -> int:
    """A pixel's coordinates cost about what eight channels do."""
    return 8 * arrays.rows * arrays.width


def _cells(arrays: Arrays, flow: Tensor) -> tuple[Any, ...]:
    motion = arrays.flow(flow)
    shape = (arrays.batch, arrays.height * arrays.width)
    located = (*(np.empty(shape, np.int32) for _ in range(2)), *(np.empty(shape, motion.dtype) for _ in range(2)))
    _run(cells.locate, (motion, *located), arrays.rows, _located_work(arrays))
    return located


def _run(loop: Callable[..., None], arguments: tuple[Any, ...], units: int, work: int) -> None:
    _compile(loop, arguments)
    in_parts(loop, arguments, units, work)


def _compile(loop: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Compile a loop, or fetch it from disk, ahead of its first call: what fails here is numba, and not the loop.

    numba's own errors would not do to tell: LLVM raises RuntimeError, a folder that is full or closed OSError.
    """
    compile_for = getattr(loop, "compile", None)  # not with NUMBA_DISABLE_JIT
    kind = (loop, arguments[0].dtype)
    if compile_for is None or kind in _compiled:
        return
    try:
        compile_for((*(numba.typeof(argument) for argument in arguments), numba.int64, numba.int64))
    except MemoryError:
        raise
    except Exception as error:
        raise NotCompiledError from error
    _compiled.add(kind)
