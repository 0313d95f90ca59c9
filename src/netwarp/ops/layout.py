"""What a result looks like: the dtype that is computed in, the memory format that comes out."""

from __future__ import annotations

import torch
from torch import Tensor


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
