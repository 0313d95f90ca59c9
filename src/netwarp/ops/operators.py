"""``warp`` and ``warp_combine`` as operators of PyTorch: ``torch.ops.netwarp.warp`` and ``….warp_combine``.

``torch.compile`` and ``torch.export`` see one node each, whatever the kernel behind it does. Arguments are checked
before (:mod:`netwarp.ops.warp`). The gradient is an operator too, once: there are no second derivatives.

Defined piece by piece: ``torch.library.custom_op`` would import PyTorch's compiler at the first call, for ten seconds.
"""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from torch import Tensor

from netwarp.ops.kernels import kernel_for
from netwarp.ops.reference import memory_format

_MAPS = "Tensor flow, Tensor? w1, Tensor? w2, Tensor? gate, bool[] needed) -> Tensor[]"
torch.library.define("netwarp::warp", "(Tensor features, Tensor flow) -> Tensor")
torch.library.define(
    "netwarp::warp_combine",
    "(Tensor current, Tensor previous, Tensor flow, Tensor w1, Tensor w2, Tensor? gate) -> Tensor",
)
torch.library.define("netwarp::warp_combine_gradients", f"(Tensor grad, Tensor? current, Tensor previous, {_MAPS}")

warp_operator = torch.ops.netwarp.warp.default
"""See :func:`netwarp.ops.warp.warp`."""

warp_combine_operator = torch.ops.netwarp.warp_combine.default
"""See :func:`netwarp.ops.warp.warp_combine`."""

_gradients = torch.ops.netwarp.warp_combine_gradients.default


@torch.library.impl("netwarp::warp", "CompositeExplicitAutograd")
def _(features: Tensor, flow: Tensor) -> Tensor:
    return kernel_for(features).combine(None, features, flow, None, None, None)


@torch.library.impl("netwarp::warp_combine", "CompositeExplicitAutograd")
def _(current: Tensor, previous: Tensor, flow: Tensor, w1: Tensor, w2: Tensor, gate: Tensor | None) -> Tensor:
    return kernel_for(current).combine(current, previous, flow, w1, w2, gate)


@torch.library.impl("netwarp::warp_combine_gradients", "CompositeExplicitAutograd")
def _(
    grad: Tensor,
    current: Tensor | None,
    previous: Tensor,
    flow: Tensor,
    w1: Tensor | None,
    w2: Tensor | None,
    gate: Tensor | None,
    needed: list[bool],
) -> list[Tensor]:
    return kernel_for(grad).gradients(grad, current, previous, flow, w1, w2, gate, needed)


@torch.library.register_fake("netwarp::warp")  # type: ignore[untyped-decorator]
def _(features: Tensor, flow: Tensor) -> Tensor:
    return torch.empty_like(features, memory_format=memory_format(features))


@torch.library.register_fake("netwarp::warp_combine")  # type: ignore[untyped-decorator]
def _(current: Tensor, previous: Tensor, flow: Tensor, w1: Tensor, w2: Tensor, gate: Tensor | None) -> Tensor:
    return torch.empty_like(current, memory_format=memory_format(current))


@torch.library.register_fake("netwarp::warp_combine_gradients")  # type: ignore[untyped-decorator]
def _(
    grad: Tensor,
    current: Tensor | None,
    previous: Tensor,
    flow: Tensor,
    w1: Tensor | None,
    w2: Tensor | None,
    gate: Tensor | None,
    needed: list[bool],
) -> list[Tensor]:
    form = memory_format(previous if current is None else current)
    shaped = []
    for tensor, wanted in zip((current, previous, flow, w1, w2, gate), needed, strict=True):
        if wanted:
            assert tensor is not None
            is_map = tensor is current or tensor is previous
            shaped.append(torch.empty_like(tensor, memory_format=form if is_map else torch.contiguous_format))
    return shaped


def _keep(ctx: Any, inputs: tuple[Tensor | None, ...], output: Tensor) -> None:  # noqa: ANN401
    ctx.save_for_backward(*inputs)


def _pull_combine(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
    needed = list(ctx.needs_input_grad)
    found = iter(_gradients(grad, *ctx.saved_tensors, needed))
    return tuple(next(found) if wanted else None for wanted in needed)


def _pull_warp(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
    features, flow = ctx.saved_tensors
    wanted_features, wanted_flow = ctx.needs_input_grad
    needed = [False, wanted_features, wanted_flow, False, False, False]
    found = iter(_gradients(grad, None, features, flow, None, None, None, needed))
    return next(found) if wanted_features else None, next(found) if wanted_flow else None


def _refuse(ctx: Any, *_: Any) -> NoReturn:  # noqa: ANN401
    raise RuntimeError(
        "netwarp::warp_combine_gradients has no derivative: leave out create_graph=True, or second derivatives"
    )


torch.library.register_autograd("netwarp::warp", _pull_warp, setup_context=_keep)
torch.library.register_autograd("netwarp::warp_combine", _pull_combine, setup_context=_keep)
torch.library.register_autograd("netwarp::warp_combine_gradients", _refuse)
