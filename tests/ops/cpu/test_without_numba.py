"""Where there are no compiled loops: plain PyTorch and one warning, never a crash."""

from __future__ import annotations

import logging
import subprocess
import sys

import numpy as np
import pytest
import torch
from numba.core.errors import NumbaError

from netwarp.ops import reference, warp, warp_combine
from netwarp.ops.cpu import compiled, compute
from netwarp.ops.kernels import WARP_COMBINE
from ops.test_warp_combine import FORMATS, arguments

WITHOUT = """
import sys
sys.modules["numba"] = None  # what an import of it meets where it is not installed
import logging, torch
logging.basicConfig(format="%(message)s")
from netwarp.ops import reference, warp_combine
args = [*torch.randn(2, 1, 3, 4, 5), torch.randn(1, 2, 4, 5), *torch.randn(2, 3)]
args[3].requires_grad_()
for _ in range(2):
    combined = warp_combine(*args)
    assert torch.equal(combined, reference.combine(*args, None))
    combined.sum().backward()
assert args[3].grad.isfinite().all()
"""


def test_without_numba_there_is_one_warning_and_the_same_result():
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    (line,) = done.stderr.strip().splitlines()
    assert "plain PyTorch" in line
    assert "numba" in line


ERRORS = (
    NumbaError("no such\nfeature"),
    RuntimeError("LLVM\nsays no"),
    OSError(28, "No space left on device"),
    IndexError("numba's own mistake"),
)


class Fails:
    """A loop, as far as anyone sees before it runs."""

    def __init__(self, error):
        self.error = error

    def compile(self, signature):
        raise self.error


def without_compiler(monkeypatch, error):
    monkeypatch.setattr(WARP_COMBINE["cpu"], "usable", True)
    monkeypatch.setattr(compute, "_compiled", set())
    monkeypatch.setattr(compute, "locate", Fails(error))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_loop_that_does_not_compile_is_done_without(monkeypatch, caplog, error):
    without_compiler(monkeypatch, error)
    args = arguments()
    with caplog.at_level(logging.WARNING, logger="netwarp"):
        assert torch.equal(warp_combine(*args), reference.combine(*args))
        assert torch.equal(warp(args[1], args[2]), reference.combine(None, args[1], args[2], None, None, None))
    (record,) = caplog.records
    assert "\n" not in record.getMessage()
    assert type(error).__name__ in record.getMessage()


def test_gradients_too(monkeypatch, caplog):
    args = arguments()
    args[1].requires_grad_()
    combined = warp_combine(*args)
    (expected,) = torch.autograd.grad(combined.sum(), args[1], retain_graph=True)
    without_compiler(monkeypatch, RuntimeError("no"))
    (found,) = torch.autograd.grad(combined.sum(), args[1])
    torch.testing.assert_close(found, expected)
    assert len(caplog.records) == 1


def test_want_of_memory_is_not_taken_for_want_of_a_compiler(monkeypatch):
    without_compiler(monkeypatch, MemoryError())
    with pytest.raises(MemoryError):
        warp_combine(*arguments())
    assert WARP_COMBINE["cpu"].usable


@pytest.mark.parametrize("error", [MemoryError, RuntimeError, OSError, IndexError])
def test_a_mistake_in_a_loop_is_not_taken_for_want_of_a_compiler(monkeypatch, error):
    def fails(*_):
        raise error("a mistake")

    monkeypatch.setattr(WARP_COMBINE["cpu"], "usable", True)
    monkeypatch.setattr(compute, "in_parts", fails)
    with pytest.raises(error, match="a mistake"):
        warp_combine(*arguments())
    assert WARP_COMBINE["cpu"].usable


def test_a_loop_is_compiled_for_the_arrays_that_it_gets(monkeypatch):
    """Ahead of its first call, which then compiles nothing: what it raises is its own."""
    monkeypatch.setattr(compute, "_compiled", set())
    for layout in FORMATS.values():
        args = [z.contiguous(memory_format=layout) for z in arguments()[:2]] + arguments()[2:]
        leaves = [tensor.requires_grad_() for tensor in args]
        warp_combine(*leaves).sum().backward()
    loops = {loop for loop, _ in compute._compiled}
    assert len(loops) == 8
    for loop in loops:
        before = len(loop.signatures)
        assert all(dtype == np.float32 for other, dtype in compute._compiled if other is loop)
        assert len({signature[0].dtype for signature in loop.signatures}) == before


def test_without_a_folder_for_the_cache_loops_are_compiled_all_the_same(monkeypatch):
    asked = []

    def njit(**options):
        asked.append(options)
        if options.pop("cache", False):
            raise RuntimeError("cannot cache function 'loop': no locator available")
        return lambda loop: loop

    monkeypatch.setattr(compiled.numba, "njit", njit)
    assert compiled.compiled(sorted) is sorted
    assert len(asked) == 2
