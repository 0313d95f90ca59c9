"""Where nothing compiles a kernel: plain PyTorch and one warning, never a crash; every other error is seen."""

import ast
import logging
import subprocess
import sys

import numpy as np
import pytest
import torch
from numba.core.errors import NumbaError
from triton.compiler.errors import CompilationError
from triton.runtime.errors import InterpreterError, OutOfResources, PTXASError

from netwarp.ops import reference, warp, warp_combine
from netwarp.ops.cpu import compiled
from netwarp.ops.cpu import compute as loops
from netwarp.ops.cuda import compute as tritons
from netwarp.ops.cuda import launch as launching
from netwarp.ops.kernels import WARP_COMBINE
from ops.test_warp_combine import FORMATS, arguments

WITHOUT = """
import sys
sys.modules["numba"] = sys.modules["triton"] = None  # what an import of them meets where they are not installed
import logging, torch
logging.basicConfig(format="%(message)s")
from netwarp.ops import reference
from netwarp.ops.kernels import WARP_COMBINE
args = [*torch.randn(2, 1, 3, 4, 5), torch.randn(1, 2, 4, 5), *torch.randn(2, 3), None]
for device in ("cpu", "cuda", "cpu", "cuda"):
    assert torch.equal(WARP_COMBINE[device].combine(args), reference.combine(args))
    assert len(WARP_COMBINE[device].gradients(args[0], args, [True] * 5 + [False])) == 5
"""


def test_without_a_compiler_there_is_one_warning_and_the_same_result():
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    of_cpu, of_gpu = done.stderr.strip().splitlines()
    assert "plain PyTorch" in of_cpu
    assert "plain PyTorch" in of_gpu
    assert "numba" in of_cpu.lower()
    assert "triton" in of_gpu.lower()


class Fails:
    """A loop or kernel that ends in an error: numba's when it is compiled, Triton's when it starts."""

    arg_names = ()

    def __init__(self, error):
        self.error = error

    def compile(self, signature):
        raise self.error

    def __getitem__(self, grid):
        raise self.error


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    return request.param


@pytest.fixture
def fails(monkeypatch):
    """Let a device's kernel end in an error, and be what a CPU takes."""

    def with_error(device, error):
        monkeypatch.setattr(WARP_COMBINE[device], "usable", True)
        monkeypatch.setitem(WARP_COMBINE, "cpu", WARP_COMBINE[device])
        monkeypatch.setattr(loops, "_compiled", set())
        monkeypatch.setattr(loops, "locate", Fails(error))
        for module, name in ((tritons.forward, "combine"), (tritons.backward, "pull")):
            monkeypatch.setattr(module, name, Fails(error))
        return WARP_COMBINE[device]

    return with_error


WANTS = (
    ("cpu", NumbaError("no such\nfeature")),
    ("cpu", RuntimeError("LLVM\nsays no")),
    ("cpu", OSError(28, "No space left on device")),
    ("cpu", IndexError("numba's own mistake")),
    ("cuda", ImportError("No module named 'triton._C'")),
    ("cuda", CompilationError("def f():\n  x", ast.parse("x").body[0], "no such\nthing")),
    ("cuda", OutOfResources(1, 0, "shared memory")),
    ("cuda", PTXASError("no such target")),
    ("cuda", RuntimeError("Failed to find C compiler. Please specify via CC environment variable")),
    ("cuda", RuntimeError("PassManager::run failed")),
    ("cuda", RuntimeError("0 active drivers ([]). There should only be one.")),
    ("cuda", AssertionError("libcuda.so cannot found!")),
    ("cuda", subprocess.CalledProcessError(1, ["gcc", "main.c"])),
    ("cuda", PermissionError(13, "Permission denied", "cache")),
)
OTHERS = (
    ("cpu", MemoryError()),
    ("cuda", torch.OutOfMemoryError("CUDA out of memory")),
    ("cuda", RuntimeError("Triton Error [CUDA]: an illegal memory access was encountered")),
    ("cuda", InterpreterError("IndexError")),
    ("cuda", ValueError("a mistake")),
    ("cuda", KeyError("Keyword argument was specified but unrecognised")),
    ("cuda", AssertionError()),
)


@pytest.mark.parametrize(("device", "error"), WANTS, ids=str)
def test_want_of_a_compiler_is_done_without(fails, caplog, device, error):
    fails(device, error)
    args = arguments()
    with caplog.at_level(logging.WARNING, logger="netwarp"):
        assert torch.equal(warp_combine(*args), reference.combine(args))
        assert torch.equal(warp(args[1], args[2]), reference.combine((None, args[1], args[2], None, None, None)))
    (record,) = caplog.records
    assert "\n" not in record.getMessage()
    assert type(error).__name__ in record.getMessage()
    assert {"cpu": "numba", "cuda": "Triton"}[device] in record.getMessage()


@pytest.mark.parametrize(("device", "error"), OTHERS, ids=repr)
def test_every_other_error_is_seen(fails, caplog, device, error):
    kernel = fails(device, error)
    with pytest.raises(type(error)):
        warp_combine(*arguments())
    assert kernel.usable
    assert not caplog.records


@pytest.mark.parametrize("error", [MemoryError, RuntimeError, OSError, IndexError])
def test_a_mistake_in_a_loop_is_not_taken_for_want_of_a_compiler(monkeypatch, error):
    def fails(*_):
        raise error("a mistake")

    monkeypatch.setattr(WARP_COMBINE["cpu"], "usable", True)
    monkeypatch.setattr(loops, "in_parts", fails)
    with pytest.raises(error, match="a mistake"):
        warp_combine(*arguments())
    assert WARP_COMBINE["cpu"].usable


def test_gradients_are_done_without_too(fails, caplog, device):
    kernel = fails(device, PTXASError("no"))
    args = arguments()
    grad, needed = torch.randn_like(args[0]), [True] * 6
    expected = reference.gradients(grad, args, needed)
    for one, other in zip(kernel.gradients(grad, args, needed), expected, strict=True):
        assert torch.equal(one, other)
    assert len(caplog.records) == 1
    for module, name in ((loops, "locate"), (tritons.backward, "pull")):
        getattr(module, name).error = ValueError("a mistake")
    assert torch.equal(kernel.gradients(grad, args, needed)[0], expected[0])  # not tried again


def test_a_loop_is_compiled_for_the_arrays_that_it_gets(monkeypatch):
    """Ahead of its first call, which then compiles nothing: what it raises is its own."""
    monkeypatch.setattr(loops, "_compiled", set())
    for layout in FORMATS:
        leaves = [tensor.requires_grad_() for tensor in arguments(layout=layout)]
        warp_combine(*leaves).sum().backward()
    known = {loop for loop, _ in loops._compiled}
    assert len(known) == 8
    for loop in known:
        before = len(loop.signatures)
        assert all(dtype == np.float32 for other, dtype in loops._compiled if other is loop)
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
