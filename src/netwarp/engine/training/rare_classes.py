"""Weights of classes in the loss."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netwarp.errors import InputError
from netwarp.metrics.labels import IGNORE

__all__ = ["class_weights"]


def class_weights(labels: Iterable[NDArray[np.uint8]], classes: int, constant: float = 1.05) -> Tensor:
    """Weights that let rare classes count: 1 / ln(constant + frequency), after ENet (arXiv 1606.02147).

    Args:
        labels: Label maps ``[H,W]`` to count in: classes, 255 = ignore.
        classes: Number of classes.
        constant: Above 1. At 1.05 weights go from 1.4 (everywhere) to 20.5 (nowhere), at 1.10 from 1.35 to 10.5.

    Returns:
        float32 ``[classes]``.

    Raises:
        InputError: A label is no class.
    """
    counts = np.zeros(classes)
    for image in labels:
        counted = np.bincount(image[image != IGNORE].ravel(), minlength=classes)
        if len(counted) > classes:
            raise InputError(
                f"a label map holds label {len(counted) - 1}, but there are {classes} classes (0 to {classes - 1}, and "
                f"{IGNORE} = ignore)"
            )
        counts += counted
    return torch.from_numpy(1 / np.log(constant + counts / max(counts.sum(), 1))).float()
