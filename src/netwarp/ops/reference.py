"""The warp, the sum and their gradients in plain PyTorch: what every kernel is tested against.

It runs on every device and in every floating point dtype, and stands in where there is no kernel. Arguments have been
checked. All computes in :func:`compute_dtype`, and maps that are returned have the :func:`memory_format` of ``current``
(of ``previous``, where there is none).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Operands = tuple[Tensor | None, Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None]
"""Current and previous representation, flow, w1, w2 and gate, as in :func:`netwarp.ops.warp.warp_combine`."""


def compute_dtype(features: Tensor, flow: Tensor) -> torch.dtype:
    """The dtype of coordinates, shares and sums: float32, or float64 where one of the two is."""
    return torch.promote_types(torch.float32, torch.promote_types(features.dtype, flow.dtype))


def memory_format(tensor: Tensor) -> torch.memory_format:
    """The format that a tensor ``[B,C,h,w]`` is nearer to: channels-last where channels lie side by side.

    What is both, as a map of one pixel or of one channel is, counts as contiguous.
    """
    if not tensor.is_contiguous() and tensor.shape[1] > 1 and tensor.stride(1) == 1:
        return torch.channels_last
    return torch.contiguous_format


def inside(flow: Tensor, slack: float = 0.0) -> Tensor:
    """Whether the column and the row that a flow ``[B,2,h,w]`` leads to are on the map, or ``slack`` pixels beyond."""
    h, w = flow.shape[-2:]
    x = torch.arange(w, device=flow.device) + flow[:, 0]
    y = torch.arange(h, device=flow.device).unsqueeze(1) + flow[:, 1]
    places = ((x, w), (y, h))
    return torch.stack([place == place.clamp(-slack, count - 1 + slack) for place, count in places], 1)


def combine(operands: Operands, interpolation: str = "bilinear") -> Tensor:
    """Compute Eq. 1–3; shapes as in :func:`netwarp.ops.warp.warp_combine`. Differentiable by autograd too.

    Without ``current``, ``w1`` and ``w2`` it is the warp alone (Eq. 1–2), whose result is ``previous`` brought to the
    current frame and nothing added, not even 0 times something.

    Not ``grid_sample``: its detour over normalised coordinates moves an integer flow off the grid by up to 1e-4
    pixels and divides by zero on a map one pixel wide. ``embedding_bag`` is PyTorch's own fused "gather rows, weigh,
    sum", and exact here.
    """
    current, previous, flow, w1, w2, gate = operands
    dtype = compute_dtype(previous, flow)
    batch, channels, h, w = previous.shape
    taps = _locate(flow.to(dtype), interpolation)
    rows = _rows(previous.to(dtype))
    warped = _gather(rows, taps, taps.shares).view(batch, h, w, channels).permute(0, 3, 1, 2)
    if current is None or w1 is None or w2 is None:
        return warped.to(previous.dtype).contiguous(memory_format=memory_format(previous))
    present = current.to(dtype)
    if gate is not None:
        warped = torch.lerp(present, warped, gate.to(dtype))
    w1, w2 = (weights.to(dtype).view(1, -1, 1, 1) for weights in (w1, w2))
    combined = torch.addcmul(w1 * present, w2, warped)
    return combined.to(current.dtype).contiguous(memory_format=memory_format(current))


def photometric_error(current: Tensor, previous: Tensor, flow: Tensor) -> Tensor:
    """See :func:`netwarp.ops.kernels.photometric_error`."""
    present, past = current.to(flow.dtype), previous.to(flow.dtype)
    return (present - combine((None, past, flow, None, None, None))).abs().mean(1, keepdim=True) / 255


def labels_along(answer: Tensor, labels: Tensor, flow: Tensor) -> Tensor:
    """See :func:`netwarp.ops.kernels.labels_along`."""
    return combine((None, answer, flow, None, None, None)).max(1).indices.to(labels.dtype)


def guide_labels(
    answer: Tensor, labels: Tensor, frame: Tensor, weights: Tensor, radius: int, logits: bool, keep: bool
) -> tuple[Tensor, Tensor | None]:
    """Filter a map of classes, guided by the frame; see :class:`netwarp.ops.edges.Edges`.

    ``weights`` are those of squared distances of colours, from 0 on; the last is that of all beyond.
    """
    probabilities = answer.softmax(1, dtype=torch.float32) if logits else answer.float()
    h, w = labels.shape[-2:]
    classes = answer.shape[1]
    beyond = [radius] * 4
    around = F.pad(probabilities, beyond), F.pad(labels.long(), beyond, value=-1), F.pad(frame.int(), beyond)
    means, found = torch.zeros_like(probabilities), torch.zeros_like(probabilities, dtype=torch.bool)
    total = torch.zeros_like(probabilities[:, :1])
    for down in range(2 * radius + 1):
        for across in range(2 * radius + 1):
            there, their, colour = (each[..., down : down + h, across : across + w] for each in around)
            distance = (colour - frame.int()).square().sum(1).clamp(max=len(weights) - 1)
            weight = (weights[distance] * (their >= 0)).unsqueeze(1)
            means += weight * there
            total += weight
            found |= their.unsqueeze(1) == torch.arange(classes, device=labels.device).view(1, -1, 1, 1)
    means = torch.where(found, means / total, 0)
    return means.masked_fill(~found, -1).max(1).indices.to(labels.dtype), means if keep else None


def gradients(
    grad: Tensor, operands: Operands, needed: Sequence[bool], interpolation: str = "bilinear"
) -> list[Tensor]:
    """Gradients of a loss, given the one with respect to the result: those that are needed, in the operands' order."""
    current, previous, flow, w1, w2, gate = operands
    dtype = compute_dtype(previous, flow)
    batch, channels, h, w = previous.shape
    taps = _locate(flow.to(dtype), interpolation)
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

    def slope(weights: Tensor) -> Tensor:
        return _gather(rows, taps, weights).mul_(brought()).sum(1)

    def of_current() -> Tensor:
        assert current is not None
        assert w1 is not None
        own = pulled * w1.to(dtype)
        return map_of(own if trust is None else own.addcmul_(weighted(), 1 - trust), current.dtype)

    def of_previous() -> Tensor:
        scattered, given = torch.zeros_like(rows), brought()
        for tap, share in zip(taps.pixels.unbind(1), taps.shares.unbind(1), strict=True):
            scattered.index_add_(0, tap, share.unsqueeze(1) * given)
        return map_of(scattered, previous.dtype)

    def of_flow() -> Tensor:
        moved = torch.stack((slope(taps.slopes_x), slope(taps.slopes_y)), 1)
        return moved.view(batch, h, w, 2).permute(0, 3, 1, 2).to(flow.dtype).contiguous()

    def of_w1() -> Tensor:
        assert w1 is not None
        return (pulled * present()).sum(0).to(w1.dtype)

    def of_w2() -> Tensor:
        assert w2 is not None
        warped = _gather(rows, taps, taps.shares)
        if trust is not None:
            warped = torch.lerp(present(), warped, trust)
        return warped.mul_(pulled).sum(0).to(w2.dtype)

    def of_gate() -> Tensor:
        assert gate is not None
        return (
            _gather(rows, taps, taps.shares).sub_(present()).mul_(weighted()).sum(1).view(batch, 1, h, w).to(gate.dtype)
        )

    every = (of_current, of_previous, of_flow, of_w1, of_w2, of_gate)
    return [gradient() for gradient, wanted in zip(every, needed, strict=True) if wanted]


class _Taps(NamedTuple):
    """For each pixel, one after the other, the pixels around its cell that it is brought from: 2×2 or 4×4."""

    pixels: Tensor  # [B·h·w,taps], their row numbers
    shares: Tensor  # [B·h·w,taps], what each has of the sum
    slopes_x: Tensor  # by how much that changes with x; slopes_y likewise. 0 where the coordinate was clamped
    slopes_y: Tensor


def _shares(t: Tensor, interpolation: str) -> tuple[Tensor, Tensor]:
    """What columns (rows) around a cell have of the sum, at a share ``t`` of the cell, and the derivatives."""
    if interpolation == "bilinear":
        ones = torch.ones_like(t)
        return torch.stack((1 - t, t), 1), torch.stack((-ones, ones), 1)
    # Catmull and Rom's spline: Keys' cubic convolution with a = -0.5.
    shares = ((2 - t) * t - 1) * t, (3 * t - 5) * t * t + 2, ((4 - 3 * t) * t + 1) * t, (t - 1) * t * t
    slopes = (4 - 3 * t) * t - 1, (9 * t - 10) * t, (8 - 9 * t) * t + 1, (3 * t - 2) * t
    return torch.stack(shares, 1) / 2, torch.stack(slopes, 1) / 2


def _locate(flow: Tensor, interpolation: str) -> _Taps:
    batch, _, h, w = flow.shape
    x = torch.arange(w, device=flow.device, dtype=flow.dtype) + flow[:, 0]
    y = torch.arange(h, device=flow.device, dtype=flow.dtype).unsqueeze(1) + flow[:, 1]

    def along(place: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        clamped = place.clamp(0, count - 1)
        first = clamped.detach().floor()
        shares, slopes = _shares((clamped - first).flatten(), interpolation)
        beside = torch.arange(shares.shape[1], device=flow.device) - (shares.shape[1] // 2 - 1)
        # NaN becomes an arbitrary integer: clamping once more keeps every read inside the map.
        places = first.long().clamp(0, count - 1).flatten().unsqueeze(1) + beside
        inside = ((place >= 0) & (place <= count - 1)).flatten().unsqueeze(1)
        return places.clamp(0, count - 1), shares, slopes.masked_fill(~inside, 0)

    def of_taps(down: Tensor, across: Tensor) -> Tensor:
        return (down.unsqueeze(2) * across.unsqueeze(1)).flatten(1)

    columns, across, across_slopes = along(x, w)
    rows, down, down_slopes = along(y, h)
    image = torch.arange(batch, device=flow.device).repeat_interleave(h * w).view(-1, 1, 1) * (h * w)
    pixels = (image + rows.unsqueeze(2) * w + columns.unsqueeze(1)).flatten(1)
    return _Taps(pixels, of_taps(down, across), of_taps(down, across_slopes), of_taps(down_slopes, across))


def _gather(rows: Tensor, taps: _Taps, weights: Tensor) -> Tensor:
    """Rows ``[B·h·w,C]`` of the taps, weighed and summed."""
    return F.embedding_bag(taps.pixels, rows.contiguous(), per_sample_weights=weights, mode="sum")


def _rows(features: Tensor) -> Tensor:
    """``[B,C,h,w]`` as ``[B·h·w,C]``."""
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])
