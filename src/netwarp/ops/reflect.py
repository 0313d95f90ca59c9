"""Reflection of pictures beyond their border.

Some networks look at more than the frame (Yu and Koltun's dilation networks at 186 pixels more on each side): what they
see there is the frame in a mirror.
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
    if not isinstance(image, Tensor) or image.ndim != 4 or 0 in image.shape[-2:]:
        shape = list(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise InputError(f"a picture must be [B,C,H,W] to be reflected, got {shape}")
    if margin < 0:
        raise InputError(f"a margin must be 0 pixels or more, not {margin}")
    if margin == 0:
        return image
    for dim in (-2, -1):
        turn = max(image.shape[dim] - 1, 1)
        # There and back again without the turning points twice.
        phase = torch.arange(-margin, image.shape[dim] + margin, device=image.device) % (2 * turn)
        place = torch.minimum(phase, 2 * turn - phase).clamp(max=image.shape[dim] - 1)
        image = image.index_select(dim, place)
    return image
