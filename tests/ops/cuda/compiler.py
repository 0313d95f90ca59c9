"""Triton's compiler for a GPU that is not there: what a launch would have compiled."""

from dataclasses import dataclass
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import mangle_type

from netwarp.ops.cuda import launch


@dataclass(frozen=True)
class Launch:
    """What ``launch`` was asked for."""

    kernel: Any
    programs: int
    warps: int
    arguments: dict[str, Any]
    constants: dict[str, Any]

    @property
    def name(self) -> str:
        return self.kernel.fn.__name__

    def compile(self, capability: int = 90) -> Any:
        """For an NVIDIA GPU; tensors begin at multiples of 16 bytes, as those do that PyTorch makes."""
        signature, attributes, fixed = {}, {}, {}
        for place, name in enumerate(self.kernel.arg_names):
            value = self.constants[name] if name in self.constants else self.arguments[name]
            if isinstance(value, torch.Tensor):
                signature[name] = mangle_type(value)
                attributes[(place,)] = [["tt.divisibility", 16]]
            elif name in self.constants or value is None:
                signature[name] = "constexpr"
                fixed[(place,)] = launch.REAL.get(value, value)
            else:
                signature[name] = "i32"
        source = ASTSource(self.kernel, signature, fixed, attributes)
        return triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": self.warps})


class Recorder:
    """Takes the place of ``launch``; runs nothing, so that results hold anything."""

    def __init__(self) -> None:
        self.launches: list[Launch] = []

    def __call__(self, kernel, programs, warps, *arguments, **constants):
        named = dict(zip(kernel.arg_names, arguments, strict=False))
        assert set(named) | set(constants) == set(kernel.arg_names)
        self.launches.append(Launch(kernel, programs, warps, named, constants))

    def __getitem__(self, name: str) -> Launch:
        (found,) = (launch for launch in self.launches if launch.name == name)
        return found
