"""Tensors as the arrays that loops take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from netwarp.ops.cpu.compiled import Array
from netwarp.ops.layout import compute_dtype, memory_format

__all__ = ["Arrays"]


class Arrays:
    """Tensors of one call as C-contiguous arrays of one dtype; nothing is copied that is so already.

    What is None becomes an array of size 0 with as many dimensions.

    Attributes:
        dtype: What is computed in.
        channels_last: Whether maps are ``[B,h,w,C]`` or ``[B,C,h·w]``.
        size: (h, w).
        rows: ``B·h``.
    """

    def __init__(self, like: Tensor, features: Tensor, flow: Tensor) -> None:
        self.dtype = compute_dtype(features, flow)
        self._format = memory_format(like)
        self.channels_last = self._format == torch.channels_last
        self.batch, self.channels, self.height, self.width = like.shape
        self.size = (self.height, self.width)
        self.rows = self.batch * self.height

    def new_map(self) -> Tensor:
        """A tensor for a result ``[B,C,h,w]``, with anything in it."""
        return torch.empty((self.batch, self.channels, *self.size), dtype=self.dtype, memory_format=self._format)

    def new_gradients(self, needed: Sequence[bool]) -> list[Tensor | None]:
        """Tensors for the gradients that are wanted; those of weights are ``[B·h,C]``, each row's share."""
        shapes = ((self.batch, 2, *self.size), (self.rows, self.channels), (self.rows, self.channels))
        others = (*shapes, (self.batch, 1, *self.size))
        maps = [self.new_map() if wanted else None for wanted in needed[:2]]
        asked = zip(others, needed[2:], strict=True)
        return maps + [torch.empty(shape, dtype=self.dtype) if wanted else None for shape, wanted in asked]

    def maps(self, tensor: Tensor | None) -> Array:
        """``[B,C,h,w]`` as ``[B,h,w,C]`` or ``[B,C,h·w]``."""
        if not self.channels_last:
            return self.planes(tensor)
        return self._array(None if tensor is None else tensor.permute(0, 2, 3, 1), 4)

    def planes(self, tensor: Tensor | None) -> Array:
        """``[B,N,h,w]`` as ``[B,N,h·w]``."""
        return self._array(None if tensor is None else tensor.flatten(2), 3)

    def pixels(self, tensor: Tensor | None) -> Array:
        """``[B,1,h,w]`` as ``[B,h·w]``."""
        return self._array(None if tensor is None else tensor.flatten(1), 2)

    def flow(self, tensor: Tensor) -> Array:
        """``[B,2,h,w]``."""
        return self._array(tensor, 4)

    def weights(self, tensor: Tensor | None, dimensions: int = 1) -> Array:
        """``[C]``, or ``[B·h,C]``."""
        return self._array(tensor, dimensions)

    def _array(self, tensor: Tensor | None, dimensions: int) -> Array:
        if tensor is None:
            return np.empty((0,) * dimensions, np.float64 if self.dtype == torch.float64 else np.float32)
        if tensor.dtype != self.dtype:
            tensor = tensor.to(self.dtype)
        array: Array = tensor.detach().contiguous().numpy()
        return array
