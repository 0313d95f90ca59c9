"""The warp, the sum and their gradients in plain PyTorch: what every kernel is tested against.

It runs on every device and in every floating point dtype, and stands in where there is no kernel. Arguments are
those of :class:`netwarp.ops.kernels.Kernel`, already checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from netwarp.ops.kernels import compute_dtype, memory_format


def combine(
    current: Tensor | None, previous: Tensor, flow: Tensor, w1: Tensor | None, w2: Tensor | None, gate: Tensor | None
) -> Tensor:
    """See :meth:`netwarp.ops.kernels.Kernel.combine`; differentiable by autograd too.

    Not ``grid_sample``: its detour over normalised coordinates moves an integer flow off the grid by up to 1e-4
    pixels and divides by zero on a map one pixel wide. ``embedding_bag`` is PyTorch's own fused "gather rows, weigh,
    sum", and exact here.
    """
    dtype = compute_dtype(previous, flow)
    batch, channels, h, w = previous.shape
    cells = _locate(flow.to(dtype))
    rows = _rows(previous.to(dtype))
    warped = _gather(rows, cells).view(batch, h, w, channels).permute(0, 3, 1, 2)
    if current is None or w1 is None or w2 is None:
        return warped.to(previous.dtype).contiguous(memory_format=memory_format(previous))
    present = current.to(dtype)
    if gate is not None:
        warped = torch.lerp(present, warped, gate.to(dtype))
    w1, w2 = (weights.to(dtype).view(1, -1, 1, 1) for weights in (w1, w2))
    combined = torch.addcmul(w1 * present, w2, warped)
    return combined.to(current.dtype).contiguous(memory_format=memory_format(current))


def gradients(
    grad: Tensor,
    current: Tensor | None,
    previous: Tensor,
    flow: Tensor,
    w1: Tensor | None,
    w2: Tensor | None,
    gate: Tensor | None,
    needed: Sequence[bool],
) -> list[Tensor]:
    """See :meth:`netwarp.ops.kernels.Kernel.gradients`."""
    dtype = compute_dtype(previous, flow)
    batch, channels, h, w = previous.shape
    cells = _locate(flow.to(dtype))
    pulled, rows = _rows(grad.to(dtype)), _rows(previous.to(dtype))
    trust = None if gate is None else gate.to(dtype).reshape(-1, 1)
    # The gradient has the format of the result, whatever the previous representation's own.
    form = memory_format(previous if current is None else current)

    def map_of(rows: Tensor, dtype: torch.dtype) -> Tensor:
        return rows.view(batch, h, w, channels).permute(0, 3, 1, 2).to(dtype).contiguous(memory_format=form)

    # Copies of a representation are large: each is made where it is looked at, and let go after.
    def present() -> Tensor:
        assert current is not None
        return _rows(current.to(dtype))

    def weighted() -> Tensor:
        return pulled if w2 is None else pulled * w2.to(dtype)

    def brought() -> Tensor:
        return weighted() if trust is None else weighted() * trust

    def slope(ahead: Tensor, behind: Tensor) -> Tensor:
        return rows[ahead].sub_(rows[behind]).mul_(brought()).sum(1)

    def of_current() -> Tensor:
        assert current is not None
        assert w1 is not None
        own = pulled * w1.to(dtype)
        return map_of(own if trust is None else own.addcmul_(weighted(), 1 - trust), current.dtype)

    def of_previous() -> Tensor:
        scattered, given = torch.zeros_like(rows), brought()
        for corner, share in zip(cells.corners, cells.shares, strict=True):
            scattered.index_add_(0, corner, share.unsqueeze(1) * given)
        return map_of(scattered, previous.dtype)

    def of_flow() -> Tensor:
        upper_left, upper_right, lower_left, lower_right = cells.corners
        u = cells.upper * slope(upper_right, upper_left) + cells.lower * slope(lower_right, lower_left)
        v = cells.left * slope(lower_left, upper_left) + cells.right * slope(lower_right, upper_right)
        moved = torch.stack((u.masked_fill(~cells.inside_x, 0), v.masked_fill(~cells.inside_y, 0)), 1)
        return moved.view(batch, h, w, 2).permute(0, 3, 1, 2).to(flow.dtype).contiguous()

    def of_w1() -> Tensor:
        assert w1 is not None
        return (pulled * present()).sum(0).to(w1.dtype)

    def of_w2() -> Tensor:
        assert w2 is not None
        warped = _gather(rows, cells)
        if trust is not None:
            warped = torch.lerp(present(), warped, trust)
        return warped.mul_(pulled).sum(0).to(w2.dtype)

    def of_gate() -> Tensor:
        assert gate is not None
        return _gather(rows, cells).sub_(present()).mul_(weighted()).sum(1).view(batch, 1, h, w).to(gate.dtype)

    every = (of_current, of_previous, of_flow, of_w1, of_w2, of_gate)
    return [gradient() for gradient, wanted in zip(every, needed, strict=True) if wanted]


@dataclass(frozen=True)
class _Cells:
    """For each pixel, one after the other, the cell of four pixels that it is brought from."""

    corners: tuple[Tensor, Tensor, Tensor, Tensor]  # row numbers, upper left, upper right, lower left, lower right
    shares: tuple[Tensor, Tensor, Tensor, Tensor]  # what each has of the sum
    left: Tensor  # share of the left two; right, upper, lower likewise
    right: Tensor
    upper: Tensor
    lower: Tensor
    inside_x: Tensor  # whether the coordinate was inside the map before it was clamped; inside_y likewise
    inside_y: Tensor


def _locate(flow: Tensor) -> _Cells:
    batch, _, h, w = flow.shape
    x = torch.arange(w, device=flow.device, dtype=flow.dtype) + flow[:, 0]
    y = torch.arange(h, device=flow.device, dtype=flow.dtype).unsqueeze(1) + flow[:, 1]
    clamped_x, clamped_y = x.clamp(0, w - 1), y.clamp(0, h - 1)
    left_edge, top = clamped_x.detach().floor(), clamped_y.detach().floor()
    right, lower = (clamped_x - left_edge).flatten(), (clamped_y - top).flatten()
    # NaN becomes an arbitrary integer: clamping once more keeps every read inside the map.
    x1, y1 = left_edge.long().clamp(0, w - 1), top.long().clamp(0, h - 1)
    x2, y2 = (x1 + 1).clamp(max=w - 1), (y1 + 1).clamp(max=h - 1)
    first = torch.arange(batch, device=flow.device).view(-1, 1, 1) * (h * w)
    above, below = first + y1 * w, first + y2 * w
    left, upper = 1 - right, 1 - lower
    return _Cells(
        ((above + x1).flatten(), (above + x2).flatten(), (below + x1).flatten(), (below + x2).flatten()),
        (left * upper, right * upper, left * lower, right * lower),
        left,
        right,
        upper,
        lower,
        ((x >= 0) & (x <= w - 1)).flatten(),
        ((y >= 0) & (y <= h - 1)).flatten(),
    )


def _gather(rows: Tensor, cells: _Cells) -> Tensor:
    """Rows ``[B·h·w,C]`` as the cells bring them."""
    corners, shares = torch.stack(cells.corners, -1), torch.stack(cells.shares, -1)
    return F.embedding_bag(corners, rows.contiguous(), per_sample_weights=shares, mode="sum")


def _rows(features: Tensor) -> Tensor:
    """``[B,C,h,w]`` as ``[B·h·w,C]``."""
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])
