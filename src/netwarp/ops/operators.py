"""``warp`` and ``warp_combine`` as operators of PyTorch: ``torch.ops.netwarp.warp`` and ``….warp_combine``.

``torch.compile`` and ``torch.export`` see one node each, whatever the kernel behind it does. Arguments are checked
before (:mod:`netwarp.ops.warp`). The gradient is an operator too, once: there are no second derivatives.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from netwarp.ops.kernels import kernel_for
from netwarp.ops.layout import memory_format

__all__ = ["warp_combine_operator", "warp_operator"]

_GRADIENTS = "Tensor flow, Tensor? w1, Tensor? w2, Tensor? gate, bool[] needed) -> Tensor[]"


@torch.library.custom_op("netwarp::warp", mutates_args=(), schema="(Tensor features, Tensor flow) -> Tensor")
def warp_operator(features: Tensor, flow: Tensor) -> Tensor:
    """See :func:`netwarp.ops.warp.warp`."""
    return kernel_for(features).combine(None, features, flow, None, None, None)


@torch.library.custom_op(
    "netwarp::warp_combine",
    mutates_args=(),
    schema="(Tensor current, Tensor previous, Tensor flow, Tensor w1, Tensor w2, Tensor? gate) -> Tensor",
)
def warp_combine_operator(
    current: Tensor, previous: Tensor, flow: Tensor, w1: Tensor, w2: Tensor, gate: Tensor | None
) -> Tensor:
    """See :func:`netwarp.ops.warp.warp_combine`."""
    return kernel_for(current).combine(current, previous, flow, w1, w2, gate)


@torch.library.custom_op(
    "netwarp::warp_combine_gradients",
    mutates_args=(),
    schema=f"(Tensor grad, Tensor? current, Tensor previous, {_GRADIENTS}",
)
def _gradients(
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


@warp_operator.register_fake
def _(features: Tensor, flow: Tensor) -> Tensor:
    return torch.empty_like(features, memory_format=memory_format(features))


@warp_combine_operator.register_fake
def _(current: Tensor, previous: Tensor, flow: Tensor, w1: Tensor, w2: Tensor, gate: Tensor | None) -> Tensor:
    return torch.empty_like(current, memory_format=memory_format(current))


@_gradients.register_fake
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


warp_operator.register_autograd(_pull_warp, setup_context=_keep)
warp_combine_operator.register_autograd(_pull_combine, setup_context=_keep)
