"""``warp_combine`` against what it replaces and against the memory's speed.

The limit is ``torch.add`` of the same two maps: it, too, reads two and writes one. The first touch of new memory may
cost more than either, and on a CPU large results are new memory each time ("fresh"); so "kept" is ``torch.add`` into a
tensor that is there, and our loop into one. On a GPU there is no difference, since PyTorch keeps memory there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import torch
import torch.nn.functional as F
from torch import Tensor

from netwarp.lab.benchmark.own_process import Progress, Runner
from netwarp.lab.benchmark.plan import DTYPES, Request, Shape
from netwarp.lab.benchmark.rounds import Clock, alternating, clock_for
from netwarp.lab.benchmark.tables import Found, Row
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


def measure_warp(request: Request, _tell: Progress, runner: Runner) -> Iterator[Found]:
    """A row for each shape, dtype and memory format."""
    yield from runner(warps, request)


def warps(request: Request, tell: Progress, clock: Clock | None = None) -> Iterator[Found]:
    """The same in this process; see :func:`measure_warp`."""
    on_gpu = torch.device(request.device).type == "cuda"
    amounts = request.amounts
    compiled = None if request.no_compile else Compiled()
    clock = clock or clock_for(request.device, request.cpu_time)
    for shape in request.shape or (*amounts.shapes, *(amounts.gpu_shapes if on_gpu else ())):
        for dtype in request.dtype or (DTYPES if on_gpu else DTYPES[:1]):
            for layout in FORMATS:
                tell(f"{'×'.join(map(str, shape))}, {layout}, {dtype}")
                torch.manual_seed(0)
                maps = _Maps.random(shape, layout, dtype, request.motion, request.device)
                names = {"shape": shape, "format": layout, "dtype": dtype, "motion": request.motion}
                yield "rows", names | _figures(maps, compiled, request.runs or amounts.rounds, clock)


@dataclass(frozen=True, eq=False)
class _Maps:
    """What is warped, and what comes back: ``[B,C,h,w]``, flow ``[B,2,h,w]``, weights ``[C]``."""

    current: Tensor
    previous: Tensor
    grad: Tensor
    flow: Tensor
    w1: Tensor
    w2: Tensor

    @classmethod
    def random(cls, shape: Shape, layout: str, dtype: str, kind: str, device: str) -> _Maps:
        batch, channels, h, w = shape
        values = getattr(torch, dtype)

        def new() -> Tensor:
            return torch.randn(shape, device=device).to(values).contiguous(memory_format=FORMATS[layout])

        flow = _motion(kind, batch, h, w).to(device)
        w1, w2 = torch.randn(2, channels).to(device, values)
        return cls(new(), new(), new(), flow, w1, w2)

    @property
    def inputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        return self.current, self.previous, self.flow, self.w1, self.w2

    @cached_property
    def leaves(self) -> tuple[Tensor, ...]:
        return tuple(tensor.clone().requires_grad_() for tensor in self.inputs)

    def trained(self, warp: Warp) -> None:
        """Forward and backward."""
        torch.autograd.grad(warp(*self.leaves), self.leaves, self.grad)

    def in_all_ways(self, warp: Warp) -> None:
        with torch.no_grad():
            warp(*self.inputs)
        self.trained(warp)

    def over_copy(self, maps: int, flows: int) -> float:
        """Bytes of so many maps and flows, in times of those that a copy moves."""
        return (maps * self.current.nbytes + flows * self.flow.nbytes) / (2 * self.current.nbytes)


def _motion(kind: str, batch: int, h: int, w: int) -> Tensor:
    """A few pixels: as of a camera and objects, or another one for each pixel."""
    if kind == "random":
        return 3 * torch.randn(batch, 2, h, w)
    return 3 * F.interpolate(torch.randn(batch, 2, 4, 4), (h, w), mode="bicubic").contiguous()


def _figures(maps: _Maps, compiled: Compiled | None, rounds: int, clock: Clock) -> Row:
    built = None if compiled is None else compiled.of(maps.in_all_ways)
    warps = {"ours": warp_combine, "eager": eager, **({} if built is None else {"compiled": built})}
    with torch.no_grad():
        forward = alternating(_forward(maps, warps), rounds, clock)
    trained = alternating(_trained(maps, warps), rounds, clock)
    others = ("eager", "compiled")
    return {
        **{f"{name}_ms": forward.ms(name) for name in ("add", "clone", "ours", *others)},
        **{f"{name}_trained_ms": trained.ms(name) for name in ("ours", *others)},
        "ours_backward_ms": trained.ms("ours_backward"),
        **{f"{name}_ms": forward.ms(name) for name in ("add_kept", "copy_kept", "ours_kept")},
        **{f"{name}_over_add": forward.ratio(name, "add") for name in ("ours", *others)},
        "ours_over_add_kept": forward.ratio("ours_kept", "add_kept"),
        **{f"{name}_over_ours": forward.ratio(name, "ours") for name in others},
        **{f"{name}_over_ours_trained": trained.ratio(name, "ours") for name in others},
        "of_copy": forward.ratio("clone", "ours", maps.over_copy(3, 1)),
        "of_copy_kept": forward.ratio("copy_kept", "ours_kept", maps.over_copy(3, 1)),
        "of_copy_backward": trained.ratio("clone", "ours_backward", maps.over_copy(5, 2)),
        "shift_off": _off(maps),
        "not_compiled": None if built is not None else "left out" if compiled is None else compiled.why_not,
    }


def _forward(maps: _Maps, warps: dict[str, Warp]) -> dict[str, Callable[[], object]]:
    functions: dict[str, Callable[[], object]] = {
        "add": lambda: torch.add(maps.current, maps.previous),
        "clone": lambda: maps.current.clone(),
        **{name: partial(warp, *maps.inputs) for name, warp in warps.items()},
    }
    if (into := _into_kept(maps)) is not None:
        kept = torch.empty_like(maps.current)
        functions["add_kept"] = lambda: torch.add(maps.current, maps.previous, out=kept)
        functions["copy_kept"] = lambda: kept.copy_(maps.current)
        functions["ours_kept"] = lambda: into(kept)
    return functions


def _trained(maps: _Maps, warps: dict[str, Warp]) -> dict[str, Callable[[], object]]:
    result = warp_combine(*maps.leaves)
    return {
        "clone": lambda: maps.current.clone(),
        "ours_backward": lambda: torch.autograd.grad(result, maps.leaves, maps.grad, retain_graph=True),
        **{name: partial(maps.trained, warp) for name, warp in warps.items()},
    }


def _into_kept(maps: _Maps) -> Callable[[Tensor], None] | None:
    """Our loop of the CPU into a tensor that is there, where it is that loop that runs, and nothing around it."""
    if maps.current.device.type != "cpu" or maps.current.dtype != torch.float32:
        return None
    try:
        from netwarp.ops.cpu import compute
        from netwarp.ops.cpu.compute import Arrays

        arrays = Arrays(maps.current, maps.previous, maps.flow)
        compute.combine_into(torch.empty_like(maps.current), arrays, (*maps.inputs, None))
    except (ImportError, NotCompiledError):
        return None
    return lambda kept: compute.combine_into(kept, arrays, (*maps.inputs, None))


def _off(maps: _Maps) -> float:
    """How far the eager form is from ours at a flow of whole pixels; only the warp."""
    none, one = torch.zeros_like(maps.w1), torch.ones_like(maps.w2)
    shifted = (maps.current, maps.previous, maps.flow.round(), none, one)
    return float((warp_combine(*shifted) - eager(*shifted)).abs().max())
