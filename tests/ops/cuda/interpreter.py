"""Triton's interpreter, which runs kernels on the CPU: for our kernels alone, whatever else a process does with Triton.

``TRITON_INTERPRET`` counts when functions are decorated, Triton's own with the first import of it. So here our kernels
are imported once more, as modules of their own, while the switch is on; and while they run, Triton's own functions are
decorated anew. What the interpreter does otherwise than a GPU is mended, and what a GPU would not forgive is an error:
to read or write beside a tensor.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from unittest import mock

import numpy as np
import torch
import triton
import triton.language as tl
from triton.runtime import interpreter
from triton.runtime.interpreter import InterpretedFunction, InterpreterBuilder, TensorHandle, _patch_lang
from triton.runtime.jit import JITFunction

import netwarp.ops.cuda as package

PACKAGE = package.__name__
TORCH = {tl.float16: torch.float16, tl.bfloat16: torch.bfloat16, tl.float32: torch.float32, tl.float64: torch.float64}


class Interpreted:
    """A kernel as :data:`netwarp.ops.kernels.WARP_COMBINE` holds them, for tensors on the CPU.

    Attributes:
        compute: The module that does it, a copy.
    """

    def __init__(self) -> None:
        self.compute = load()

    def combine(self, *arguments):
        with interpreting():
            return self.compute.combine(*arguments)

    def gradients(self, *arguments):
        with interpreting():
            return self.compute.gradients(*arguments)

    def guide_labels(self, *arguments):
        with interpreting():
            return self.compute.guide_labels(*arguments)


def load() -> ModuleType:
    """Another ``netwarp.ops.cuda.compute``, and all that it imports from there, for the interpreter."""
    ours = {name: module for name, module in sys.modules.items() if name.startswith(f"{PACKAGE}.")}
    attributes = dict(vars(package))
    for name in ours:
        del sys.modules[name]
        vars(package).pop(name.removeprefix(f"{PACKAGE}."), None)
    try:
        with triton.knobs.runtime.scope():
            triton.knobs.runtime.interpret = True
            return importlib.import_module(f"{PACKAGE}.compute")
    finally:
        for name in [name for name in sys.modules if name.startswith(f"{PACKAGE}.")]:
            del sys.modules[name]
        sys.modules.update(ours)
        for name in set(vars(package)) - set(attributes):
            delattr(package, name)
        vars(package).update(attributes)


@contextmanager
def interpreting() -> Iterator[None]:
    """While this holds, kernels of :func:`load` run, and none is compiled."""
    own = {name: function for name, function in vars(tl).items() if isinstance(function, JITFunction)}
    guard = Guard()
    with (
        mock.patch.multiple(tl, **{name: InterpretedFunction(function.fn) for name, function in own.items()}),
        mock.patch.object(InterpretedFunction, "__call__", called_from_a_kernel),
        mock.patch.object(InterpreterBuilder, "cast_impl", rounded_cast),
        mock.patch.object(interpreter, "_implicit_cvt", guard.mark(interpreter._implicit_cvt)),
        mock.patch.multiple(
            InterpreterBuilder,
            create_masked_load=guard.check(InterpreterBuilder.create_masked_load, places=0, mask=1),
            create_masked_store=guard.check(InterpreterBuilder.create_masked_store, places=0, mask=2),
            create_atomic_rmw=guard.check(InterpreterBuilder.create_atomic_rmw, places=1, mask=3),
        ),
    ):
        inside = _patch_lang(own["sum"].fn)
        try:
            yield
        finally:
            inside.restore()


def called_from_a_kernel(self: InterpretedFunction, *arguments, **options):
    """The interpreter is in place then, and need not be put there again for each call, at several ms."""
    return self.rewrite()(*arguments, **options)


def rounded_cast(self: InterpreterBuilder, source: TensorHandle, kind: tl.dtype) -> TensorHandle:
    """As a GPU rounds: the interpreter cuts bits off on the way to bfloat16, and knows none from float64."""
    if source.dtype.scalar in TORCH and kind.scalar in TORCH:
        values = torch.from_numpy(np.ascontiguousarray(source.data))
        if source.dtype.scalar == tl.bfloat16:
            values = values.view(torch.bfloat16)
        values = values.to(TORCH[kind.scalar])
        if kind.scalar == tl.bfloat16:
            values = values.view(torch.uint16)
        return TensorHandle(values.numpy(), kind.scalar)
    return cast_impl(self, source, kind)


cast_impl = InterpreterBuilder.cast_impl


class Guard:
    """Marks the address of each tensor of a launch; from there nothing beside that tensor can be read or written."""

    MARK = np.uint64(48)  # addresses need no more bits

    def __init__(self) -> None:
        self.ends = [(0, 0)]

    def mark(self, convert):
        def wrapped(argument):
            value = convert(argument)
            if isinstance(argument, torch.Tensor):
                value.handle.data = value.handle.data + (np.uint64(len(self.ends)) << self.MARK)
                # Tensors that kernels take have no gaps.
                self.ends.append((argument.data_ptr(), argument.data_ptr() + argument.nbytes))
            return value

        return wrapped

    def check(self, access, places, mask):
        def wrapped(builder, *given):
            given = list(given)
            kind, wanted = given[places].get_element_ty(), given[mask].data.astype(bool)
            size = kind.primitive_bitwidth // 8
            if mask > 1 and given[mask - 1].data.itemsize != size:
                raise TypeError(f"{access.__name__}: {given[mask - 1].data.dtype} where {size} bytes are wanted")
            owners, addresses = np.divmod(given[places].data, np.uint64(1) << self.MARK)
            begins, ends = np.array(self.ends, np.uint64).T
            owners = np.where(wanted, owners, 0)
            beside = wanted & ((addresses < begins[owners]) | (addresses + np.uint64(size) > ends[owners]))
            if beside.any():
                raise IndexError(f"{access.__name__}: {np.count_nonzero(beside)} places beside a tensor of {kind}")
            given[places] = TensorHandle(addresses, given[places].dtype)
            return access(builder, *given)

        return wrapped
