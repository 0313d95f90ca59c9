"""Where Triton compiles nothing: plain PyTorch and one warning; every other error is seen."""

from __future__ import annotations

import ast
import logging
import subprocess
import sys

import pytest
import torch
from triton.compiler.errors import CompilationError
from triton.runtime.errors import InterpreterError, OutOfResources, PTXASError

from netwarp.ops import reference, warp_combine
from netwarp.ops.cuda import compute
from netwarp.ops.cuda import launch as launching
from netwarp.ops.kernels import WARP_COMBINE
from ops.test_warp_combine import arguments

WANTS = (
    ImportError("No module named 'triton._C'"),
    CompilationError("def f():\n  x", ast.parse("x").body[0], "no such\nthing"),
    OutOfResources(1, 0, "shared memory"),
    PTXASError("no such target"),
    RuntimeError("Failed to find C compiler. Please specify via CC environment variable"),
    RuntimeError("PassManager::run failed"),
    RuntimeError("0 active drivers ([]). There should only be one."),
    AssertionError("libcuda.so cannot found!"),
    subprocess.CalledProcessError(1, ["gcc", "main.c"]),
    PermissionError(13, "Permission denied", "cache"),
)
OTHERS = (
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("Triton Error [CUDA]: an illegal memory access was encountered"),
    InterpreterError("IndexError"),
    ValueError("a mistake"),
    KeyError("Keyword argument was specified but unrecognised"),
    AssertionError(),
)


KERNEL = WARP_COMBINE["cuda"]


class Kernel:
    arg_names = ()

    def __init__(self, error):
        self.error = error

    def __getitem__(self, grid):
        raise self.error


@pytest.fixture
def fails(monkeypatch):
    """Let every kernel end in an error, and kernels be what a CPU takes."""

    def with_error(error):
        for module, name in ((compute.forward, "combine"), (compute.backward, "pull")):
            monkeypatch.setattr(module, name, Kernel(error))

    monkeypatch.setattr(KERNEL, "usable", True)
    monkeypatch.setitem(WARP_COMBINE, "cpu", KERNEL)
    return with_error


@pytest.mark.parametrize("error", WANTS, ids=str)
def test_want_of_a_compiler_is_done_without(fails, caplog, error):
    fails(error)
    args = arguments()
    with caplog.at_level(logging.WARNING, logger="netwarp"):
        assert torch.equal(warp_combine(*args), reference.combine(*args))
        assert torch.equal(warp_combine(*args), reference.combine(*args))
    (record,) = caplog.records
    assert "\n" not in record.getMessage()
    assert type(error).__name__ in record.getMessage()
    assert "Triton" in record.getMessage()


@pytest.mark.parametrize("error", OTHERS, ids=repr)
def test_every_other_error_is_seen(fails, caplog, error):
    fails(error)
    with pytest.raises(type(error)):
        warp_combine(*arguments())
    assert KERNEL.usable
    assert not caplog.records


def test_gradients_too(fails, caplog):
    fails(PTXASError("no"))
    args = arguments()
    grad, needed = torch.randn_like(args[0]), [True] * 6
    found = KERNEL.gradients(grad, *args, needed)
    for one, other in zip(found, reference.gradients(grad, *args, needed), strict=True):
        assert torch.equal(one, other)
    assert len(caplog.records) == 1
    fails(ValueError("a mistake"))
    assert torch.equal(KERNEL.gradients(grad, *args, needed)[0], found[0])  # not tried again


WITHOUT = """
import sys
sys.modules["triton"] = None  # what an import of it meets where it is not installed
import logging, torch
logging.basicConfig(format="%(message)s")
from netwarp.ops import reference
from netwarp.ops.kernels import WARP_COMBINE
args = [*torch.randn(2, 1, 3, 4, 5), torch.randn(1, 2, 4, 5), *torch.randn(2, 3), None]
for _ in range(2):
    assert torch.equal(WARP_COMBINE["cuda"].combine(*args), reference.combine(*args))
    assert len(WARP_COMBINE["cuda"].gradients(args[0], *args, [True] * 5 + [False])) == 5
"""


def test_without_triton_there_is_one_warning_and_the_same_result():
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    (line,) = done.stderr.strip().splitlines()
    assert "plain PyTorch" in line
    assert "Triton" in line


def test_a_kernel_starts_on_its_tensors_gpu(monkeypatch):
    """Not on the current one. Without a GPU: what PyTorch is asked to make current."""
    asked = []

    class Current:
        def __init__(self, device):
            asked.append(device)

        def __enter__(self):
            asked.append("in")

        def __exit__(self, *_):
            asked.append("out")

    class Starts:
        def __getitem__(self, grid):
            return lambda *arguments, **options: asked.append((grid, options))

    class Elsewhere(torch.Tensor):
        device = torch.device("cuda", 1)

    monkeypatch.setattr(torch.cuda, "device", Current)
    launching.launch(Starts(), 7, 4, None, torch.zeros(1).as_subclass(Elsewhere), 3, real=torch.float64)
    given = {"num_warps": 4, "real": launching.REAL[torch.float64]}
    assert asked == [torch.device("cuda", 1), "in", ((7,), given), "out"]
