"""Warping of representations along optical flow (paper, section 3.1, Eq. 1–3).

Convention
----------
The whole project follows this block and nothing defines it again.

- **Flow** is float32 ``[B,2,H,W]`` in pixels of its own grid. Channel 0 is u (to the right), channel 1 is v (down).
- It is **backward**: the point (x, y) of the current frame lies at (x+u, y+v) in the previous one.
- A flow that is **resized** scales its values with its size: u by w/W, v by h/H.
- A layer of **stride** s, whose place i looks at pixel s·i + o of the network's input, moves by F[s·i + o]/s.
- **Sampling** is at pixel indices: an integer flow is an exact shift, zero flow the identity. Coordinates outside the
  map are clamped to its border. They are computed in float32 whatever the features' dtype (float64 for a float64 flow).
- **Interpolation** is bilinear, as in the paper, or bicubic: Catmull and Rom's spline over 4×4 pixels (cubic
  convolution with a = −0.5), where pixels beyond the border are those at it. It keeps more detail over many warps, and
  may overshoot what it interpolates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from netwarp.errors import InputError, unknown_name
from netwarp.ops.kernels import warp_combine_operator, warp_operator

Interpolation = Literal["bilinear", "bicubic"]


@dataclass(frozen=True)
class Grid:
    """Place i of a map looks at ``stride · i + offset`` of another grid; each number down and across."""

    stride: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def from_lists(cls, stride: Sequence[float], offset: Sequence[float]) -> Grid:
        """Read what a file holds."""
        (down, across), (top, left) = stride, offset
        return cls((float(down), float(across)), (float(top), float(left)))

    @classmethod
    def of_cells(cls, stride: Sequence[float], start: float = 0.0) -> Grid:
        """Places in the middle of cells of a size, the first of which begins at ``start``."""
        down, across = stride
        return cls((down, across), ((down - 1) / 2 + start, (across - 1) / 2 + start))

    def on(self, other: Grid) -> Grid:
        """Say where the places look on the grid that ``other`` looks at, if these look at ``other``'s places."""
        pairs = list(zip(self.stride, self.offset, other.stride, other.offset, strict=True))
        (down, across), (top, left) = [s * t for s, _, t, _ in pairs], [o * t + p for _, o, t, p in pairs]
        return Grid((down, across), (top, left))

    def among(self, other: Grid) -> Grid:
        """Say where the places lie among those of another grid over the same picture: the inverse of :meth:`on`."""
        pairs = list(zip(self.stride, self.offset, other.stride, other.offset, strict=True))
        (down, across), (top, left) = [s / t for s, _, t, _ in pairs], [(o - p) / t for _, o, t, p in pairs]
        return Grid((down, across), (top, left))


Borders = tuple[tuple[float, float], tuple[float, float]]
"""First and last pixel of a picture, down and across, at which what lies beyond is seen in a mirror."""


def resize_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring a flow to another grid, its values along with its size.

    "The same strides are used for the transformed optical flow" (paper, section 3.1): shrinking samples the flow
    at the centres of the coarse cells, so that motion boundaries stay sharp.

    Args:
        flow: ``[B,2,H,W]``, pixels of the H×W grid.
        size: (h, w) of the new grid.

    Returns:
        ``[B,2,h,w]``, pixels of the h×w grid; the same tensor if nothing changes.

    Raises:
        InputError: ``flow`` has another shape, or ``size`` is not positive.

    >>> import torch
    >>> resize_flow(torch.full((1, 2, 4, 8), 4.0), (2, 2))[0, :, 0, 0]
    tensor([1., 2.])
    """
    _check_flow(flow)
    if not isinstance(size, Sequence) or len(size) != 2:
        raise InputError(f"a flow is resized to a (height, width), not to {size!r}")
    h, w = size
    if h < 1 or w < 1:
        raise InputError(f"a flow cannot be resized to {h}×{w}: give a positive (height, width)")
    height, width = flow.shape[-2:]
    if (h, w) == (height, width):
        return flow
    resized = F.interpolate(flow, size=(h, w), mode="bilinear", align_corners=False)
    # By numbers, since a tensor of them would have to be sent to a GPU, which its host would wait for.
    return torch.stack((resized[:, 0] * (w / width), resized[:, 1] * (h / height)), 1)


def sample_flow(flow: Tensor, grid: Grid, size: tuple[int, int], mirror: Borders | None = None) -> Tensor:
    """Read a flow ``[B,2,H,W]`` at h×w places of a grid over its own, its values in strides of that grid.

    Between pixels it is interpolated; beyond the border it goes on as it is, or what moves comes out of a mirror.
    """
    if mirror is None and _is_whole(grid, size, flow.shape[-2:]):
        (down, across), (top, left) = ([int(n) for n in pair] for pair in (grid.stride, grid.offset))
        flow = flow[:, :, top::down, left::across][:, :, : size[0], : size[1]]
    else:
        signs = []
        for axis in (0, 1):
            place, sign = _places(flow, grid, size, axis, mirror)
            flow = _between(flow, place, axis)
            signs.append(sign)
        if mirror is not None:
            flow = torch.stack((flow[:, 0] * signs[1], flow[:, 1] * signs[0].unsqueeze(1)), 1)
    if grid.stride == (1.0, 1.0):
        return flow
    # By numbers, since a tensor of them would have to be sent to a GPU, which its host would wait for.
    return torch.stack((flow[:, 0] / grid.stride[1], flow[:, 1] / grid.stride[0]), 1)


def sample(maps: Tensor, grid: Grid, size: tuple[int, int]) -> Tensor:
    """Read maps ``[B,C,H,W]`` at h×w places of a grid over their own; beyond the border they go on as they are."""
    for axis in (0, 1):
        maps = _between(maps, _places(maps, grid, size, axis, None)[0], axis)
    return maps


def sample_confidence(confidence: Tensor, grid: Grid, size: tuple[int, int], mirror: Borders | None = None) -> Tensor:
    """Average confidence ``[B,1,H,W]`` around h×w places of a grid over its own; 1 everywhere stays exactly 1.

    The weights fall from each place to its neighbours, as where a picture is resized with antialiasing.
    """
    if mirror is None and grid == Grid() and size == tuple(confidence.shape[-2:]):
        return confidence
    # What is averaged are doubts, since the weights of an average of ones do not add up to 1 in every last bit.
    doubt = 1 - confidence
    down, across = (_weights(doubt, grid, size, axis, mirror) for axis in (0, 1))
    return 1 - down @ (doubt @ across.mT)


def _between(maps: Tensor, place: Tensor, axis: int) -> Tensor:
    """Maps at places along an axis, interpolated between pixels."""
    dim, last = axis - 2, maps.shape[axis - 2] - 1
    place = place.clamp(0, last)
    low = place.long()
    share = (place - low).unsqueeze(1) if axis == 0 else place - low
    below = maps.index_select(dim, low)
    return below + (maps.index_select(dim, (low + 1).clamp(max=last)) - below) * share


def _is_whole(grid: Grid, size: tuple[int, int], shape: Sequence[int]) -> bool:
    """Whether all places are pixels of a map."""
    axes = zip(grid.stride, grid.offset, size, shape, strict=True)
    return all(s >= 1 and o >= 0 and s % 1 == o % 1 == 0 and s * (n - 1) + o < m for s, o, n, m in axes)


def _places(
    like: Tensor, grid: Grid, size: tuple[int, int], axis: int, mirror: Borders | None
) -> tuple[Tensor, Tensor]:
    """Where places look along an axis, and -1 where they look into a mirror, else 1."""
    dtype = torch.promote_types(torch.float32, like.dtype)
    place = torch.arange(size[axis], dtype=dtype, device=like.device) * grid.stride[axis] + grid.offset[axis]
    if mirror is None:
        return place, torch.ones_like(place)
    first, last = mirror[axis]
    span = max(last - first, 1e-6)
    along = (place - first) % (2 * span)
    return first + torch.minimum(along, 2 * span - along), 1 - 2 * (along > span).to(dtype)


def _weights(like: Tensor, grid: Grid, size: tuple[int, int], axis: int, mirror: Borders | None) -> Tensor:
    """``[places, pixels]``, weights of an axis that sum to 1."""
    length = like.shape[axis - 2]
    place, _ = _places(like, grid, size, axis, mirror)
    pixel = torch.arange(length, dtype=place.dtype, device=like.device)
    reach = max(grid.stride[axis], 1.0)
    weights = (1 - (place.clamp(0, length - 1).unsqueeze(1) - pixel).abs() / reach).clamp(min=0)
    return (weights / weights.sum(1, keepdim=True)).to(like.dtype)


def warp(features: Tensor, flow: Tensor, *, interpolation: Interpolation = "bilinear") -> Tensor:
    """Align the previous frame's features with the current frame (paper, Eq. 1 and 2).

    Differentiable in the features and, except where a coordinate is an integer (bicubic: also there) or clamped, in the
    flow. A flow of NaN gives NaN there and never reads outside the map.

    Args:
        features: ``[B,C,h,w]`` of the previous frame, floating point, contiguous or channels-last.
        flow: ``[B,2,h,w]``, backward, in pixels of this grid.
        interpolation: Between the features' pixels, ``"bilinear"`` or ``"bicubic"``.

    Returns:
        ``[B,C,h,w]`` with the features' dtype and memory format: at (x, y) the features at (x+u, y+v).

    Raises:
        InputError: the shapes do not fit together or the features are not floating point.
        ConfigurationError: an unknown interpolation.

    >>> import torch
    >>> row = torch.tensor([[[[1.0, 2.0, 4.0]]]])
    >>> warp(row, torch.stack((torch.full((1, 1, 3), -0.5), torch.zeros(1, 1, 3)), 1))
    tensor([[[[1.0000, 1.5000, 3.0000]]]])
    """
    _check_pair(features, flow)
    check_interpolation(interpolation)
    warped: Tensor = warp_operator(features, flow, interpolation)
    return warped


def warp_combine(
    current: Tensor,
    previous: Tensor,
    flow: Tensor,
    w1: Tensor,
    w2: Tensor,
    gate: Tensor | None = None,
    *,
    interpolation: Interpolation = "bilinear",
) -> Tensor:
    """Warp the previous representation and add it to the current one, channel by channel (paper, Eq. 1–3).

    ``w1 ⊙ current + w2 ⊙ warp(previous, flow)``. With a gate, a pixel to which the flow brought the wrong thing
    gets the current representation instead of the warped one:
    ``w1 ⊙ current + w2 ⊙ (gate · warp(previous, flow) + (1 − gate) · current)``.

    Args:
        current: ``[B,C,h,w]``, z_t.
        previous: ``[B,C,h,w]``, z_{t−1}, same dtype.
        flow: ``[B,2,h,w]``, backward, in pixels of this grid.
        w1: ``[C]``, weights of the current representation.
        w2: ``[C]``, weights of the warped previous one.
        gate: ``[B,1,h,w]`` in 0–1, or None for the paper's equation.
        interpolation: As of :func:`warp`.

    Returns:
        ``[B,C,h,w]`` with ``current``'s dtype and memory format; the sum itself is computed in float32 or better.

    Raises:
        InputError: the shapes or dtypes do not fit together or the features are not floating point.
        ConfigurationError: an unknown interpolation.
    """
    _check_pair(previous, flow)
    for name, value in (("current", current), ("w1", w1), ("w2", w2), *([] if gate is None else [("gate", gate)])):
        _check_tensor(name, value)
    if current.shape != previous.shape:
        raise InputError(f"current {_shape(current)} and previous {_shape(previous)} representation differ in shape")
    if current.dtype != previous.dtype:
        raise InputError(
            f"current {current.dtype} and previous {previous.dtype} representation differ in dtype: "
            "both must be of one floating point dtype"
        )
    channels = current.shape[1]
    for name, weight in (("w1", w1), ("w2", w2)):
        if weight.shape != (channels,):
            raise InputError(f"{name} must hold one weight for each of {channels} channels, got {_shape(weight)}")
    if gate is not None and gate.shape != (current.shape[0], 1, *current.shape[2:]):
        raise InputError(f"gate {_shape(gate)} does not fit a representation {_shape(current)}: one channel, same size")
    check_interpolation(interpolation)
    combined: Tensor = warp_combine_operator(current, previous, flow, w1, w2, gate, interpolation)
    return combined


def check_interpolation(name: str) -> None:
    """Refuse a name that is none of :data:`Interpolation`."""
    if name not in get_args(Interpolation):
        raise unknown_name("interpolation", name, get_args(Interpolation))


def _check_flow(flow: Tensor) -> None:
    _check_tensor("a flow", flow)
    if flow.ndim != 4 or flow.shape[1] != 2 or not flow.is_floating_point() or 0 in flow.shape[2:]:
        raise InputError(f"a flow must be floating point [B,2,H,W], got {flow.dtype} {_shape(flow)}")


def _check_pair(features: Tensor, flow: Tensor) -> None:
    _check_flow(flow)
    _check_tensor("features", features)
    if features.ndim != 4 or not features.is_floating_point():
        raise InputError(f"features must be floating point [B,C,h,w], got {features.dtype} {_shape(features)}")
    if features.shape[0] != flow.shape[0] or features.shape[2:] != flow.shape[2:]:
        raise InputError(
            f"flow {_shape(flow)} does not fit features {_shape(features)}: "
            "same batch, height and width are needed (netwarp.resize_flow brings a flow to another size)"
        )
    if features.numel() == 0:
        raise InputError(f"features {_shape(features)} are empty")


def _check_tensor(name: str, value: object) -> None:
    if not isinstance(value, Tensor):
        raise InputError(f"{name} must be a torch tensor, not {type(value).__name__}")


def _shape(tensor: Tensor) -> str:
    return f"[{','.join(map(str, tensor.shape))}]"
