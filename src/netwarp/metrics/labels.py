"""What every metric accepts as labels, and the one place that checks it."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netwarp.errors import InputError
from netwarp.label_sets import IGNORE

__all__ = ["IGNORE", "Labels", "as_labels"]

Labels: TypeAlias = Tensor | NDArray[np.integer]
"""Integer ``[H,W]`` or ``[B,H,W]``, as a tensor on any device or a numpy array."""


def as_labels(labels: Labels, name: str) -> Tensor:
    """Check labels and bring them to one form."""
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "iu":
        # Copied: torch takes neither numpy's negative strides nor foreign byte order, and warns of read-only memory.
        tensor = torch.from_numpy(labels.astype(np.int64))
    elif isinstance(labels, Tensor) and not (
        labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool
    ):
        tensor = labels.long()
    else:
        kind = getattr(labels, "dtype", type(labels).__name__)
        raise InputError(f"{name} must be integer labels, not {kind}: take argmax(1) of logits")
    if tensor.ndim not in (2, 3):
        raise InputError(f"{name} must be labels [H,W] or [B,H,W], not {list(tensor.shape)}")
    return tensor[None] if tensor.ndim == 2 else tensor
