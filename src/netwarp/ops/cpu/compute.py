"""Tensors in, loops over them on several threads, tensors out; and where every pixel comes from."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from netwarp.ops.cpu import bicubic, channels_last, edges, planes
from netwarp.ops.cpu.compiled import Array, compiled
from netwarp.ops.kernels import NotCompiledError
from netwarp.ops.reference import Operands, compute_dtype, memory_format


class Arrays:
    """Tensors of one call as C-contiguous arrays of one dtype; nothing is copied that is so already.

    What is None becomes an array of size 0 with as many dimensions.
    """

    def __init__(self, like: Tensor, features: Tensor, flow: Tensor, interpolation: str = "bilinear") -> None:
        self.dtype = compute_dtype(features, flow)  # what is computed in
        self.format = memory_format(like)  # what results have in the end
        cubic = interpolation == "bicubic"
        self.channels_last = cubic or self.format == torch.channels_last  # whether maps are [B,h,w,C] or [B,C,h·w]
        self.loops: Any = bicubic if cubic else channels_last if self.channels_last else planes
        self.batch, self.channels, self.height, self.width = like.shape
        self.size = (self.height, self.width)  # (h, w)
        self.rows = self.batch * self.height  # B·h

    def new_map(self) -> Tensor:
        """A tensor for a result ``[B,C,h,w]``, with anything in it."""
        form = torch.channels_last if self.channels_last else torch.contiguous_format
        return torch.empty((self.batch, self.channels, *self.size), dtype=self.dtype, memory_format=form)

    def new_gradients(self, needed: Sequence[bool]) -> list[Tensor | None]:
        """Tensors for the gradients that are wanted; those of weights are ``[B·h,C]``, each row's share."""
        shapes = ((self.batch, 2, *self.size), (self.rows, self.channels), (self.rows, self.channels))
        others = (*shapes, (self.batch, 1, *self.size))
        maps = [self.new_map() if wanted else None for wanted in needed[:2]]
        asked = zip(others, needed[2:], strict=True)
        return maps + [torch.empty(shape, dtype=self.dtype) if wanted else None for shape, wanted in asked]

    def maps(self, tensor: Tensor | None) -> Array:
        """``[B,C,h,w]`` as ``[B,h,w,C]`` or ``[B,C,h·w]``."""
        if not self.channels_last:
            return self.array(tensor, 3)
        return self.array(None if tensor is None else tensor.permute(0, 2, 3, 1), 4)

    def array(self, tensor: Tensor | None, dimensions: int) -> Array:
        """A tensor with its last dimensions made one, so that so many are left: ``[B,N,h,w]`` as ``[B,N,h·w]``."""
        if tensor is None:
            return np.empty((0,) * dimensions, np.float64 if self.dtype == torch.float64 else np.float32)
        if tensor.dtype != self.dtype:
            tensor = tensor.to(self.dtype)
        array: Array = tensor.detach().flatten(dimensions - 1).contiguous().numpy()
        return array


@compiled
def locate(flow: Array, x1: Array, y1: Array, right: Array, lower: Array, first: int, last: int) -> None:
    """Follow a flow, as the Convention block of :mod:`netwarp.ops.warp` says; units are rows, ``B·h``."""
    h, w = flow.shape[2:]
    real = flow.dtype.type
    zero, last_x, last_y = real(0), real(w - 1), real(h - 1)
    for unit in range(first, last):
        b, y = unit // h, unit % h
        for x in range(w):
            k = y * w + x
            across, down = real(x) + flow[b, 0, y, x], real(y) + flow[b, 1, y, x]
            across = zero if across < zero else last_x if across > last_x else across
            down = zero if down < zero else last_y if down > last_y else down
            # NaN has no pixel to come from: it takes the first, with shares of NaN.
            column = np.int32(across if across == across else zero)
            row = np.int32(down if down == down else zero)
            x1[b, k], y1[b, k] = column, row
            right[b, k], lower[b, k] = across - real(column), down - real(row)


@compiled
def hold(flow: Array, gradient: Array, first: int, last: int) -> None:
    """Take the gradient from coordinates that were clamped; ``[B,2,h,w]`` both, units are rows, ``B·h``."""
    h, w = flow.shape[2:]
    real = flow.dtype.type
    zero, last_x, last_y = real(0), real(w - 1), real(h - 1)
    for unit in range(first, last):
        b, y = unit // h, unit % h
        for x in range(w):
            # Not the other way round: NaN is nowhere.
            if not (zero <= real(x) + flow[b, 0, y, x] <= last_x):
                gradient[b, 0, y, x] = zero
            if not (zero <= real(y) + flow[b, 1, y, x] <= last_y):
                gradient[b, 1, y, x] = zero


WORTH_A_THREAD = 1 << 17
"""Elements below which handing over costs about what it saves: 0.1 ms of work, 0.02 to 0.05 ms to hand over."""

Part = tuple["Future[None]", int, int]


def in_parts(loop: Callable[..., None], arguments: tuple[Any, ...], count: int, elements: int) -> None:
    """Run a loop over units of work that do not touch each other's results.

    Parts are taken, not given: whoever has time, the caller too, takes the next from where they wait. So each is done
    once, also where a thread that the system refused had been given its work before.
    """
    parts = min(torch.get_num_threads(), count, elements // WORTH_A_THREAD)
    if parts <= 1:
        loop(*arguments, 0, count)
        return
    edges = [count * part // parts for part in range(parts + 1)]
    all_parts: list[Part] = [(Future(), begin, end) for begin, end in pairwise(edges)]
    waiting = deque(all_parts)
    for _ in range(parts - 1):
        try:
            _pool().submit(_take, loop, arguments, waiting)
        except RuntimeError:  # no more threads: the interpreter is shutting down, or the system has a limit
            break
    _take(loop, arguments, waiting)
    wait([done for done, _, _ in all_parts])
    for done, _, _ in all_parts:
        done.result()


def _take(loop: Callable[..., None], arguments: tuple[Any, ...], waiting: deque[Part]) -> None:
    while True:
        try:
            done, begin, end = waiting.popleft()
        except IndexError:
            return
        try:
            loop(*arguments, begin, end)
        except BaseException as error:  # the caller's
            done.set_exception(error)
        else:
            done.set_result(None)


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    """One for the process; it starts threads as they are needed."""
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="netwarp")


if hasattr(os, "register_at_fork"):
    # A forked child has the pool but not its threads.
    os.register_at_fork(after_in_child=_pool.cache_clear)


_compiled: set[tuple[Callable[..., None], np.dtype[Any]]] = set()
"""Loops and the dtype of their arrays, which is what they are compiled for."""


def combine(operands: Operands, interpolation: str = "bilinear") -> Tensor:
    """See :func:`netwarp.ops.reference.combine`."""
    current, previous, flow, *_ = operands
    arrays = Arrays(previous if current is None else current, previous, flow, interpolation)
    result = arrays.new_map()
    combine_into(result, arrays, operands)
    return result.to(previous.dtype).contiguous(memory_format=arrays.format)


def combine_into(result: Tensor, arrays: Arrays, operands: Operands) -> None:
    """The same into a tensor like :meth:`Arrays.new_map`'s."""
    current, previous, flow, w1, w2, gate = operands
    sources = arrays.maps(current), arrays.maps(previous), _cells(arrays, flow)
    weights = arrays.array(w1, 1), arrays.array(w2, 1), arrays.array(gate, 2)
    _run(arrays.loops.combine, (*sources, weights, arrays.maps(result), arrays.size), arrays.rows, result.numel())


def gradients(
    grad: Tensor, operands: Operands, needed: Sequence[bool], interpolation: str = "bilinear"
) -> list[Tensor]:
    """See :func:`netwarp.ops.reference.gradients`."""
    current, previous, flow, w1, w2, gate = operands
    arrays = Arrays(previous if current is None else current, previous, flow, interpolation)
    pulled, cells = arrays.maps(grad), _cells(arrays, flow)
    # The warp alone is 1 times what was brought.
    w2_or_one = torch.ones(arrays.channels) if w2 is None else w2
    weights = arrays.array(w1, 1), arrays.array(w2_or_one, 1), arrays.array(gate, 2)
    results = arrays.new_gradients(needed)
    of_current, of_previous, of_flow, of_w1, of_w2, of_gate = results
    work = 2 * grad.numel()
    if any(result is not None for result in results if result is not of_previous):
        sources = arrays.maps(current), arrays.maps(previous)
        ways_out = (
            arrays.maps(of_current),
            arrays.array(of_flow, 3),
            arrays.array(of_w1, 2),
            arrays.array(of_w2, 2),
            arrays.array(of_gate, 2),
        )
        _run(arrays.loops.pull, (pulled, sources, cells, weights, ways_out, arrays.size), arrays.rows, work)
    if of_flow is not None:
        _run(hold, (arrays.array(flow, 4), arrays.array(of_flow, 4)), arrays.rows, _located_work(arrays))
    if of_previous is not None:
        targets = arrays.rows if arrays.channels_last else arrays.batch * arrays.channels
        scattered = arrays.maps(of_previous)
        _run(arrays.loops.scatter, (pulled, cells, weights, scattered, arrays.size), targets, work)
    # A row's sum is float32, as a row is short; that of all rows is not.
    maps = (
        None if each is None else each.contiguous(memory_format=arrays.format) for each in (of_current, of_previous)
    )
    whole = (*maps, of_flow, *(_total(rows) for rows in (of_w1, of_w2)), of_gate)
    asked = zip(whole, operands, strict=True)
    return [result.to(source.dtype) for result, source in asked if result is not None and source is not None]


def photometric_error(current: Tensor, previous: Tensor, flow: Tensor) -> Tensor:
    """See :func:`netwarp.ops.kernels.photometric_error`; both frames uint8."""
    batch, _, h, w = current.shape
    error = torch.empty((batch, 1, h, w))
    arrays = (flow.float().contiguous().numpy(), current.contiguous().numpy(), previous.contiguous().numpy())
    _run(planes.differences, (*arrays, error.numpy()), batch * h, 8 * error.numel())
    return error


def labels_along(answer: Tensor, labels: Tensor, flow: Tensor) -> Tensor:
    """See :func:`netwarp.ops.kernels.labels_along`."""
    batch, h = labels.shape[:2]
    moved = torch.empty_like(labels, memory_format=torch.contiguous_format)
    arrays = (answer.float().numpy(), labels.contiguous().numpy(), flow.float().contiguous().numpy())
    _run(planes.move_labels, (*arrays, moved.numpy()), batch * h, 8 * moved.numel())
    return moved


def guide_labels(
    answer: Tensor, labels: Tensor, frame: Tensor, weights: Tensor, radius: int, logits: bool, keep: bool
) -> tuple[Tensor, Tensor | None]:
    """See :func:`netwarp.ops.reference.guide_labels`."""
    batch, h, _ = labels.shape
    maps, given = answer.detach().float().contiguous(), labels.contiguous()
    mixed, near = (torch.zeros(labels.shape, dtype=torch.bool) for _ in range(2))
    probabilities = torch.empty_like(maps) if logits else maps
    moved = torch.empty_like(given)
    filtered = torch.empty_like(maps) if keep else torch.empty((0, 0, 0, 0))
    rows, pixels = batch * h, labels.numel()
    _run(edges.find_mixed, (given.numpy(), radius, mixed.numpy()), rows, 4 * pixels)
    _run(edges.spread, (mixed.numpy(), radius, near.numpy()), rows, 4 * pixels)
    if logits:
        _run(edges.soften, (maps.numpy(), near.numpy(), probabilities.numpy()), rows, 8 * pixels)
    sources = (probabilities.numpy(), given.numpy(), frame.contiguous().numpy(), mixed.numpy(), near.numpy())
    _run(edges.weigh, (*sources, weights.numpy(), radius, moved.numpy(), filtered.numpy()), rows, 16 * pixels)
    return moved, filtered if keep else None


def _total(rows: Tensor | None) -> Tensor | None:
    return None if rows is None else torch.from_numpy(rows.numpy().sum(0, dtype=np.float64))


def _located_work(arrays: Arrays) -> int:
    """A pixel's coordinates cost about what eight channels do."""
    return 8 * arrays.rows * arrays.width


def _cells(arrays: Arrays, flow: Tensor) -> tuple[Any, ...]:
    motion = arrays.array(flow, 4)
    shape = (arrays.batch, arrays.height * arrays.width)
    located = (*(np.empty(shape, np.int32) for _ in range(2)), *(np.empty(shape, motion.dtype) for _ in range(2)))
    _run(locate, (motion, *located), arrays.rows, _located_work(arrays))
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
