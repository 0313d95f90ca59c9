"""Warping of representations along optical flow (paper, section 3.1, Eq. 1–3).

Convention
----------
The whole project follows this block and nothing defines it again.

- **Flow** is float32 ``[B,2,H,W]`` in pixels of its own grid. Channel 0 is u (to the right), channel 1 is v (down).
- It is **backward**: the point (x, y) of the current frame lies at (x+u, y+v) in the previous one.
- A flow that is **resized** scales its values with its size: u by w/W, v by h/H.
- **Sampling** is bilinear at pixel indices: an integer flow is an exact shift, zero flow the identity. Coordinates
  outside the map are clamped to its border. They are computed in float32 whatever the features' dtype
  (float64 for a float64 flow).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from netwarp.errors import InputError
from netwarp.ops.kernels import warp_combine_operator, warp_operator


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


def warp(features: Tensor, flow: Tensor) -> Tensor:
    """Align the previous frame's features with the current frame (paper, Eq. 1 and 2).

    Differentiable in the features and, except where a coordinate is an integer or clamped, in the flow. A flow of
    NaN gives NaN there and never reads outside the map.

    Args:
        features: ``[B,C,h,w]`` of the previous frame, floating point, contiguous or channels-last.
        flow: ``[B,2,h,w]``, backward, in pixels of this grid.

    Returns:
        ``[B,C,h,w]`` with the features' dtype and memory format: at (x, y) the features at (x+u, y+v).

    Raises:
        InputError: the shapes do not fit together or the features are not floating point.

    >>> import torch
    >>> row = torch.tensor([[[[1.0, 2.0, 4.0]]]])
    >>> warp(row, torch.stack((torch.full((1, 1, 3), -0.5), torch.zeros(1, 1, 3)), 1))
    tensor([[[[1.0000, 1.5000, 3.0000]]]])
    """
    _check_pair(features, flow)
    warped: Tensor = warp_operator(features, flow)
    return warped


def warp_combine(
    current: Tensor, previous: Tensor, flow: Tensor, w1: Tensor, w2: Tensor, gate: Tensor | None = None
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

    Returns:
        ``[B,C,h,w]`` with ``current``'s dtype and memory format; the sum itself is computed in float32 or better.

    Raises:
        InputError: the shapes or dtypes do not fit together or the features are not floating point.
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
    combined: Tensor = warp_combine_operator(current, previous, flow, w1, w2, gate)
    return combined


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
