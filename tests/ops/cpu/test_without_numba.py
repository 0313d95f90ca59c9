"""Where there are no compiled loops: plain PyTorch and one warning, never a crash."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest
import torch

from netwarp.ops import cpu, reference, warp, warp_combine
from netwarp.ops.cpu import compiled, compute
from ops.test_warp_combine import arguments

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


@pytest.mark.parametrize("error", [RuntimeError("LLVM\nsays no"), OSError(28, "No space left on device")])
def test_a_loop_that_does_not_compile_is_done_without(monkeypatch, caplog, error):
    def fails(*_):
        raise error

    monkeypatch.setattr(cpu, "_usable", True)
    monkeypatch.setattr(compute, "in_parts", fails)
    args = arguments()
    with caplog.at_level(logging.WARNING, logger="netwarp"):
        assert torch.equal(warp_combine(*args), reference.combine(*args))
        assert torch.equal(warp(args[1], args[2]), reference.combine(None, args[1], args[2], None, None, None))
    (record,) = caplog.records
    assert "\n" not in record.getMessage()
    assert type(error).__name__ in record.getMessage()


def test_gradients_too(monkeypatch, caplog):
    def fails(*_):
        raise RuntimeError("no")

    args = arguments()
    args[1].requires_grad_()
    combined = warp_combine(*args)
    (expected,) = torch.autograd.grad(combined.sum(), args[1], retain_graph=True)
    monkeypatch.setattr(cpu, "_usable", True)
    monkeypatch.setattr(compute, "in_parts", fails)
    (found,) = torch.autograd.grad(combined.sum(), args[1])
    torch.testing.assert_close(found, expected)
    assert len(caplog.records) == 1


def test_want_of_memory_is_not_taken_for_want_of_a_compiler(monkeypatch):
    def fails(*_):
        raise MemoryError

    monkeypatch.setattr(compute, "in_parts", fails)
    with pytest.raises(MemoryError):
        warp_combine(*arguments())
    assert cpu._usable


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
