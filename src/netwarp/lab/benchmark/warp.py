"""``warp_combine`` against what it replaces and against the memory's speed.

The limit is ``torch.add`` of the same two maps: it, too, reads two and writes one. The first touch of new memory may
cost more than either, and on a CPU large results are new memory each time ("fresh"); so "kept" is ``torch.add`` into a
tensor that is there, and our loop into one. On a GPU there is no difference, since PyTorch keeps memory there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from netwarp.lab.benchmark.harness import Clock, Progress, Runner, alternating, clock_for
from netwarp.lab.benchmark.plan import BenchmarkPlan, Shape
from netwarp.lab.benchmark.results import WarpRow
from netwarp.ops import warp_combine
from netwarp.ops.kernels import NotCompiledError

Warp = Callable[..., Tensor]


def eager(current: Tensor, previous: Tensor, flow: Tensor, w1: Tensor, w2: Tensor) -> Tensor:
    """``grid_sample``, two multiplies and an add; arguments as those of :func:`netwarp.warp_combine`.

    In half precision the warp is in float32, as under autocast: ``grid_sample`` takes coordinates of the map's own
    dtype, and those of a map 128 wide are off by half a pixel in bfloat16.
    """
    h, w = previous.shape[-2:]
    x = (torch.arange(w, device=flow.device) + flow[:, 0]) * (2 / max(w - 1, 1)) - 1
    y = (torch.arange(h, device=flow.device).unsqueeze(1) + flow[:, 1]) * (2 / max(h - 1, 1)) - 1
    grid = torch.stack((x, y), -1)
    warped = F.grid_sample(previous.to(grid.dtype), grid, padding_mode="border", align_corners=True)
    return w1.view(1, -1, 1, 1) * current + w2.view(1, -1, 1, 1) * warped.to(previous.dtype)


class Compiled:
    """``torch.compile`` of it, where that can be had."""

    def __init__(self, compile_warp: Callable[[Warp], Warp] | None = None) -> None:
        self._compile = compile_warp or _compile
        self._hopeless = False
        self.why_not: str | None = None  # one line on why it was not to be had last time; None where it was

    def of(self, run: Callable[[Warp], object]) -> Warp | None:
        """Compile for new shapes."""
        if self._hopeless:
            return None
        try:
            warp = self._compile(eager)
            run(warp)
        except Exception as error:  # whatever a compiler and its compilers may raise
            self.why_not = _in_a_line(error)
            self._hopeless = "compiler" in self.why_not.lower()
            return None
        self.why_not = None
        return warp


def _compile(warp: Warp) -> Warp:
    # Anew for every shape: after some recompilations of one function it would silently run the eager one.
    torch.compiler.reset()
    # One function has nothing to compile side by side, and the processes for that take seconds to come and to go.
    torch._inductor.config.compile_threads = 1
    return torch.compile(warp, fullgraph=True, dynamic=False)


def _in_a_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    for known, said in (("C++ compiler", "there is no C++ compiler"), ("riton", "Triton, the compiler, does not work")):
        if known in text:
            return said
    return f"{type(error).__name__}: {text}"[:160]


FORMATS = {"channels-last": torch.channels_last, "contiguous": torch.contiguous_format}

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

GPU_DTYPES = ("float32", "bfloat16", "float16")


def measure_warp(plan: BenchmarkPlan, tell: Progress, apart: Runner) -> Iterator[WarpRow]:
    """A row for each shape, dtype and memory format."""
    yield from apart(tell, plan.threads, warps, plan)


def warps(plan: BenchmarkPlan, tell: Progress, clock: Clock | None = None) -> Iterator[WarpRow]:
    """The same in this process; see :func:`measure_warp`."""
    on_gpu = torch.device(plan.device).type == "cuda"
    amounts = plan.amounts
    shapes = plan.shapes or (*amounts.shapes, *(amounts.gpu_shapes if on_gpu else ()))
    dtypes = plan.dtypes or (GPU_DTYPES if on_gpu else ("float32",))
    compiled = Compiled()
    for shape in shapes:
        for dtype in dtypes:
            for layout in FORMATS:
                tell(f"{'×'.join(map(str, shape))}, {layout}, {dtype}")
                torch.manual_seed(0)
                maps = _Maps.random(shape, layout, dtype, plan.motion, plan.device)
                yield _row(
                    maps,
                    compiled if plan.compile else None,
                    plan.runs or amounts.rounds,
                    clock or clock_for(plan.device, plan.cpu_time),
                )


@dataclass(frozen=True, eq=False)
class _Maps:
    """What is warped, and what comes back: ``[B,C,h,w]``, flow ``[B,2,h,w]``, weights ``[C]``."""

    layout: str
    dtype: str
    kind: str
    current: Tensor
    previous: Tensor
    grad: Tensor
    flow: Tensor
    w1: Tensor
    w2: Tensor
    leaves: tuple[Tensor, ...] = field(init=False)

    def __post_init__(self) -> None:
        leaves = tuple(tensor.clone().requires_grad_() for tensor in self.inputs)
        object.__setattr__(self, "leaves", leaves)

    @classmethod
    def random(cls, shape: Shape, layout: str, dtype: str, kind: str, device: str) -> _Maps:
        batch, channels, h, w = shape

        def new() -> Tensor:
            values = torch.randn(shape, device=device).to(DTYPES[dtype])
            return values.contiguous(memory_format=FORMATS[layout])

        flow = _motion(kind, batch, h, w).to(device)
        w1, w2 = torch.randn(2, channels).to(device, DTYPES[dtype])
        return cls(layout, dtype, kind, new(), new(), new(), flow, w1, w2)

    @property
    def inputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        return self.current, self.previous, self.flow, self.w1, self.w2

    def both(self, warp: Callable[..., Tensor]) -> None:
        """Forward and backward."""
        torch.autograd.grad(warp(*self.leaves), self.leaves, self.grad)

    def moved(self, maps: int, flows: int) -> int:
        """Bytes of so many maps and flows."""
        return maps * self.current.nbytes + flows * self.flow.nbytes


def _motion(kind: str, batch: int, h: int, w: int) -> Tensor:
    """A few pixels: as of a camera and objects, or another one for each pixel."""
    if kind == "random":
        return 3 * torch.randn(batch, 2, h, w)
    return 3 * F.interpolate(torch.randn(batch, 2, 4, 4), (h, w), mode="bicubic").contiguous()


def _row(maps: _Maps, compiled: Compiled | None, rounds: int, clock: Clock) -> WarpRow:
    def in_all_ways(warp: Callable[..., Tensor]) -> None:
        with torch.no_grad():
            warp(*maps.inputs)
        maps.both(warp)

    built = None if compiled is None else compiled.of(in_all_ways)
    with torch.no_grad():
        forward = alternating(_forward(maps, built), rounds, clock)
    trained = alternating(_trained(maps, built), rounds, clock)
    batch, channels, h, w = maps.current.shape
    more_than_copy = maps.moved(3, 1) / maps.moved(2, 0)
    of_copy_kept = forward.ratio_of("copy, kept", "ours, kept")
    return WarpRow(
        shape=(batch, channels, h, w),
        format=maps.layout,
        dtype=maps.dtype,
        motion=maps.kind,
        add_ms=forward.ms("add"),
        clone_ms=forward.ms("clone"),
        ours_ms=forward.ms("ours"),
        eager_ms=forward.ms("eager"),
        compiled_ms=forward.ms_of("compiled"),
        ours_trained_ms=trained.ms("ours"),
        eager_trained_ms=trained.ms("eager"),
        compiled_trained_ms=trained.ms_of("compiled"),
        ours_backward_ms=trained.ms("ours, backward"),
        add_kept_ms=forward.ms_of("add, kept"),
        copy_kept_ms=forward.ms_of("copy, kept"),
        ours_kept_ms=forward.ms_of("ours, kept"),
        ours_over_add=forward.ratio("ours", "add"),
        ours_over_add_kept=forward.ratio_of("ours, kept", "add, kept"),
        eager_over_add=forward.ratio("eager", "add"),
        compiled_over_add=forward.ratio_of("compiled", "add"),
        eager_over_ours=forward.ratio("eager", "ours"),
        compiled_over_ours=forward.ratio_of("compiled", "ours"),
        eager_over_ours_trained=trained.ratio("eager", "ours"),
        compiled_over_ours_trained=trained.ratio_of("compiled", "ours"),
        of_copy=more_than_copy * forward.ratio("clone", "ours"),
        of_copy_kept=None if of_copy_kept is None else more_than_copy * of_copy_kept,
        of_copy_backward=maps.moved(5, 2) / maps.moved(2, 0) * trained.ratio("clone", "ours, backward"),
        shift_off=_off(maps),
        not_compiled=None if built is not None else "left out" if compiled is None else compiled.why_not,
    )


def _forward(maps: _Maps, compiled: Callable[..., Tensor] | None) -> dict[str, Callable[[], object]]:
    functions: dict[str, Callable[[], object]] = {
        "add": lambda: torch.add(maps.current, maps.previous),
        "clone": lambda: maps.current.clone(),
        "ours": lambda: warp_combine(*maps.inputs),
        "eager": lambda: eager(*maps.inputs),
    }
    if compiled is not None:
        functions["compiled"] = lambda: compiled(*maps.inputs)
    if (into := _into_kept(maps)) is not None:
        kept = torch.empty_like(maps.current)
        functions["add, kept"] = lambda: torch.add(maps.current, maps.previous, out=kept)
        functions["copy, kept"] = lambda: kept.copy_(maps.current)
        functions["ours, kept"] = lambda: into(kept)
    return functions


def _trained(maps: _Maps, compiled: Callable[..., Tensor] | None) -> dict[str, Callable[[], object]]:
    result = warp_combine(*maps.leaves)
    functions: dict[str, Callable[[], object]] = {
        "clone": lambda: maps.current.clone(),
        "ours": lambda: maps.both(warp_combine),
        "ours, backward": lambda: torch.autograd.grad(result, maps.leaves, maps.grad, retain_graph=True),
        "eager": lambda: maps.both(eager),
    }
    if compiled is not None:
        functions["compiled"] = lambda: maps.both(compiled)
    return functions


def _into_kept(maps: _Maps) -> Callable[[Tensor], None] | None:
    """Our loop of the CPU into a tensor that is there, where it is that loop that runs, and nothing around it."""
    if maps.current.device.type != "cpu" or maps.dtype != "float32":
        return None
    try:
        from netwarp.ops.cpu import compute
        from netwarp.ops.cpu.compute import Arrays

        arrays = Arrays(maps.current, maps.previous, maps.flow)
        compute.combine_into(torch.empty_like(maps.current), arrays, *maps.inputs, None)
    except (ImportError, NotCompiledError):
        return None
    return lambda kept: compute.combine_into(kept, arrays, *maps.inputs, None)


def _off(maps: _Maps) -> float:
    """How far the eager form is from ours at a flow of whole pixels; only the warp."""
    none, one = torch.zeros_like(maps.w1), torch.ones_like(maps.w2)
    shifted = (maps.current, maps.previous, maps.flow.round(), none, one)
    return float((warp_combine(*shifted) - eager(*shifted)).abs().max())
