"""Reflection of pictures, and of the motion in them, beyond their border.

Some networks look at more than the frame (Yu and Koltun's dilation networks at 186 pixels more on each side): what they
see there is the frame in a mirror. In a mirror, motion towards the border comes from the other side.
"""

from __future__ import annotations

import torch
from torch import Tensor

from netwarp.errors import InputError


def reflect(image: Tensor, margin: int) -> Tensor:
    """Reflect a picture outward; the pixels at its border are not repeated.

    As ``numpy.pad(mode="reflect")`` and OpenCV's ``BORDER_REFLECT_101``: unlike ``torch``'s own padding, a picture
    smaller than the margin is reflected as often as it takes.

    >>> reflect(torch.tensor([[[[1.0, 2.0, 3.0]]]]), 2)[0, 0, 2]
    tensor([3., 2., 1., 2., 3., 2., 1.])
    """
    _check(image, margin)
    if margin == 0:
        return image
    rows, _ = _mirrored(image.shape[-2], margin, image.device)
    columns, _ = _mirrored(image.shape[-1], margin, image.device)
    return image.index_select(-2, rows).index_select(-1, columns)


def reflect_flow(flow: Tensor, margin: int) -> Tensor:
    """Reflect a flow outward along with its picture: left of the border, what moved to the right moves to the left.

    >>> reflect_flow(torch.ones(1, 2, 1, 3), 1)[0, :, 1]
    tensor([[-1.,  1.,  1.,  1., -1.],
            [ 1.,  1.,  1.,  1.,  1.]])
    """
    _check(flow, margin)
    if flow.shape[1] != 2:
        raise InputError(f"a flow must be [B,2,H,W], got {list(flow.shape)}")
    if margin == 0:
        return flow
    _, upright = _mirrored(flow.shape[-2], margin, flow.device)
    _, across = _mirrored(flow.shape[-1], margin, flow.device)
    u, v = reflect(flow, margin).unbind(1)
    return torch.stack((u * across.to(flow.dtype), v * upright.to(flow.dtype).unsqueeze(1)), dim=1)


def _mirrored(length: int, margin: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """For each place of a reflected axis: the place that it shows, and -1 where it shows it in a mirror, else 1."""
    place = torch.arange(-margin, length + margin, device=device)
    step = max(length - 1, 1)
    outside = torch.maximum(-place, place - (length - 1)).clamp(min=0)
    mirrors = (outside + step - 1) // step
    sign = 1 - 2 * (mirrors % 2)
    if length == 1:
        return torch.zeros_like(place), sign
    # There and back again without the turning points twice.
    phase = place % (2 * step)
    return torch.minimum(phase, 2 * step - phase), sign


def _check(image: Tensor, margin: int) -> None:
    if not isinstance(image, Tensor) or image.ndim != 4 or 0 in image.shape[-2:]:
        shape = list(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise InputError(f"a picture must be [B,C,H,W] to be reflected, got {shape}")
    if margin < 0:
        raise InputError(f"a margin must be 0 pixels or more, not {margin}")
