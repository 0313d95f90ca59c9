"""How warp and sum are written in PyTorch today, and what its compiler makes of that."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Compiled", "eager"]

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
    """``torch.compile`` of it, where that can be had.

    Attributes:
        why_not: One line on why it was not to be had last time; None where it was.
    """

    def __init__(self, compile_warp: Callable[[Warp], Warp] | None = None) -> None:
        self._compile = compile_warp or _compile
        self._hopeless = False
        self.why_not: str | None = None

    def of(self, run: Callable[[Warp], object]) -> Warp | None:
        """Compile for new shapes.

        Args:
            run: Calls a warp in all ways in which it will be called: compiling is done at the first call.

        Returns:
            The compiled warp; None where it cannot be compiled.
        """
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
