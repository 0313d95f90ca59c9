"""``warp`` and ``warp_combine`` as operators of PyTorch, and the table of kernels where a faster one plugs in.

``torch.compile`` and ``torch.export`` see one node each, ``torch.ops.netwarp.warp`` and ``….warp_combine``, whatever
the kernel behind it does. Arguments are checked before (:mod:`netwarp.ops.warp`). The gradient is an operator too,
once: there are no second derivatives. Each operator looks its tensors' device type up in :data:`WARP_COMBINE`; a device
that is not listed gets the plain PyTorch of :mod:`netwarp.ops.reference`, which every kernel is tested against. A
kernel is a module or an object with functions like three of it: ``combine``, ``gradients`` and ``guide_labels``. That
of the CPU has ``photometric_error`` and ``labels_along`` too; other devices do those in PyTorch.

Operators are defined piece by piece: ``torch.library.custom_op`` would import PyTorch's compiler at the first call, for
ten seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, NoReturn, cast

import torch
from torch import Tensor

from netwarp.ops import reference
from netwarp.ops.reference import memory_format

log = logging.getLogger("netwarp")


class NotCompiledError(Exception):
    """Compiled code is not to be had here; its cause says why."""


class CompiledKernel:
    """The functions of a module, whatever it has; those of the reference, after one warning, where it cannot compute.

    The module is imported at the first call, and with it a compiler, whose code then is compiled or fetched from disk.
    """

    def __init__(self, module: str, compiler: str, advice: str) -> None:
        self._module, self._compiler, self._advice = module, compiler, advice
        self.usable = True  # whether the module did not fail yet

    def __getattr__(self, function: str) -> Callable[..., Any]:
        if function.startswith("_"):
            raise AttributeError(function)
        return partial(self._call, function)

    def _call(self, function: str, *arguments: Any) -> Any:  # noqa: ANN401
        if self.usable:
            try:
                return getattr(import_module(self._module), function)(*arguments)
            except (ImportError, NotCompiledError) as error:
                self.usable = False
                cause = error.__cause__ or error
                log.warning(
                    "the warp runs in plain PyTorch, several times slower: %s cannot compile it here (%s: %s); %s",
                    self._compiler,
                    type(cause).__name__,
                    " ".join(str(cause).split())[:200],
                    self._advice,
                )
        return getattr(reference, function)(*arguments)


WARP_COMBINE: dict[str, Any] = {
    "cpu": CompiledKernel(
        "netwarp.ops.cpu.compute",
        "numba",
        "'pip install -U numba' may help, or NUMBA_CACHE_DIR, a folder that can be written",
    ),
    "cuda": CompiledKernel(
        "netwarp.ops.cuda.compute",
        "Triton",
        "it comes with PyTorch on Linux, and needs a C compiler (gcc, or CC) and a folder that can be written "
        "(TRITON_CACHE_DIR)",
    ),
}
"""Kernels by ``torch.device.type``; AMD's GPUs are ``"cuda"`` too."""


def kernel_for(tensor: Tensor) -> Any:  # noqa: ANN401
    """The kernel for a tensor's device, else the reference."""
    return WARP_COMBINE.get(tensor.device.type, reference)


def photometric_error(current: Tensor, previous: Tensor, flow: Tensor) -> Tensor:
    """Compare a frame ``[B,3,H,W]`` with the previous one, warped along the flow ``[B,2,H,W]``.

    Frames are uint8, or floating point in 0–1. Returns the mean absolute difference ``[B,1,H,W]``, 0–1.
    """
    if current.dtype == previous.dtype == torch.uint8:
        error: Tensor = _for_frames(current).photometric_error(current, previous, flow)
        return error
    return (current - cast("Tensor", warp_operator(previous, flow, "bilinear"))).abs().mean(1, keepdim=True)


def labels_along(answer: Tensor, labels: Tensor, flow: Tensor) -> Tensor:
    """Carry labels along a flow: of each pixel the largest entry of the answer ``[B,C,H,W]``, warped.

    ``labels`` ``[B,H,W]`` are those of the answer itself; with them the answer need not be warped where they agree.
    """
    moved: Tensor = _for_frames(answer).labels_along(answer, labels, flow)
    return moved


def _for_frames(tensor: Tensor) -> Any:  # noqa: ANN401
    """What works on whole frames: a frame without the network consists of little else."""
    return WARP_COMBINE["cpu"] if tensor.device.type == "cpu" else reference


_MAPS = "Tensor flow, Tensor? w1, Tensor? w2, Tensor? gate, bool[] needed, str interpolation) -> Tensor[]"
torch.library.define("netwarp::warp", "(Tensor features, Tensor flow, str interpolation) -> Tensor")
torch.library.define(
    "netwarp::warp_combine",
    "(Tensor current, Tensor previous, Tensor flow, Tensor w1, Tensor w2, Tensor? gate, str interpolation) -> Tensor",
)
torch.library.define("netwarp::warp_combine_gradients", f"(Tensor grad, Tensor? current, Tensor previous, {_MAPS}")

warp_operator = torch.ops.netwarp.warp.default
"""See :func:`netwarp.ops.warp.warp`."""

warp_combine_operator = torch.ops.netwarp.warp_combine.default
"""See :func:`netwarp.ops.warp.warp_combine`."""

_gradients = torch.ops.netwarp.warp_combine_gradients.default


@torch.library.impl("netwarp::warp", "CompositeExplicitAutograd")
def _(features: Tensor, flow: Tensor, interpolation: str) -> Tensor:
    warped: Tensor = kernel_for(features).combine((None, features, flow, None, None, None), interpolation)
    return warped


@torch.library.impl("netwarp::warp_combine", "CompositeExplicitAutograd")
def _(current: Tensor, *others: Any) -> Tensor:  # noqa: ANN401
    *operands, interpolation = current, *others
    combined: Tensor = kernel_for(current).combine(operands, interpolation)
    return combined


@torch.library.impl("netwarp::warp_combine_gradients", "CompositeExplicitAutograd")
def _(grad: Tensor, *others: Any) -> list[Tensor]:  # noqa: ANN401
    *operands, needed, interpolation = others
    found: list[Tensor] = kernel_for(grad).gradients(grad, operands, needed, interpolation)
    return found


@torch.library.register_fake("netwarp::warp")  # type: ignore[untyped-decorator]
def _(features: Tensor, flow: Tensor, interpolation: str) -> Tensor:
    return torch.empty_like(features, memory_format=memory_format(features))


@torch.library.register_fake("netwarp::warp_combine")  # type: ignore[untyped-decorator]
def _(current: Tensor, *_: Any) -> Tensor:  # noqa: ANN401
    return torch.empty_like(current, memory_format=memory_format(current))


@torch.library.register_fake("netwarp::warp_combine_gradients")  # type: ignore[untyped-decorator]
def _(grad: Tensor, current: Tensor | None, previous: Tensor, *others: Any) -> list[Tensor]:  # noqa: ANN401
    *maps, needed, _ = others
    form = memory_format(previous if current is None else current)
    forms = [form, form, *[torch.contiguous_format] * len(maps)]
    asked = zip((current, previous, *maps), forms, needed, strict=True)
    return [torch.empty_like(source, memory_format=form) for source, form, wanted in asked if wanted]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401
    *tensors, ctx.interpolation = inputs
    ctx.save_for_backward(*tensors)


def _pull_combine(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
    needed = list(ctx.needs_input_grad[:6])
    found = iter(_gradients(grad, *ctx.saved_tensors, needed, ctx.interpolation))
    return (*(next(found) if wanted else None for wanted in needed), None)


def _pull_warp(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
    features, flow = ctx.saved_tensors
    wanted_features, wanted_flow, _ = ctx.needs_input_grad
    needed = [False, wanted_features, wanted_flow, False, False, False]
    found = iter(_gradients(grad, None, features, flow, None, None, None, needed, ctx.interpolation))
    return next(found) if wanted_features else None, next(found) if wanted_flow else None, None


def _refuse(ctx: Any, *_: Any) -> NoReturn:  # noqa: ANN401
    raise RuntimeError(
        "netwarp::warp_combine_gradients has no derivative: leave out create_graph=True, or second derivatives"
    )


torch.library.register_autograd("netwarp::warp", _pull_warp, setup_context=_keep)
torch.library.register_autograd("netwarp::warp_combine", _pull_combine, setup_context=_keep)
torch.library.register_autograd("netwarp::warp_combine_gradients", _refuse)
