"""What a network wants done to a frame before it sees it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from netwarp.errors import ConfigurationError

__all__ = ["Preprocess"]


@dataclass(frozen=True)
class Preprocess:
    """Turns an RGB frame in 0–1 into a network's input: ``(frame * scale - mean) / std``.

    Flow is estimated, and corrected but for the release's FlowCNN, on the raw frames instead.

    Attributes:
        mean: Per channel, in the network's channel order and in units of ``scale``.
        std: Per channel, likewise.
        scale: The value of white before the mean is taken off: 1.0, or 255.0 for networks from Caffe.
        order: Channel order that the network was trained with.
        divisor: Height and width are padded at the bottom and right (edge pixels repeated) to multiples of this;
            the logits of the padding are cut off again.
        remainder: They are padded to this much more than a multiple: 1 with a divisor of 8 for networks that take
            sizes of the form 8k+1. Below ``divisor``.
        size: (height, width) that frames are resized to for the network, or None for their own; the logits
            are brought back to frame size.
    """

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    scale: float = 1.0
    order: Literal["rgb", "bgr"] = "rgb"
    divisor: int = 1
    size: tuple[int, int] | None = None
    remainder: int = 0

    def __post_init__(self) -> None:
        if len(self.mean) != 3 or len(self.std) != 3:
            raise ConfigurationError(f"mean and std need 3 values each, got {self.mean} and {self.std}")
        if not all(math.isfinite(value) for value in (*self.mean, *self.std, self.scale)):
            raise ConfigurationError("mean, std and scale must be finite")
        if min(self.std) <= 0 or self.scale <= 0 or self.divisor < 1:
            raise ConfigurationError("std and scale must be positive and divisor at least 1")
        if not 0 <= self.remainder < self.divisor:
            raise ConfigurationError(
                f"remainder must be from 0 to below the divisor {self.divisor}, not {self.remainder}"
            )
        if self.order not in ("rgb", "bgr"):
            raise ConfigurationError(f"order must be 'rgb' or 'bgr', not {self.order!r}")
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise ConfigurationError(f"size must be a positive (height, width), not {self.size}")

    def __call__(self, frame: Tensor) -> Tensor:
        """Prepare frames for the network.

        Args:
            frame: ``[B,3,H,W]`` RGB, floating point in 0–1.

        Returns:
            ``[B,3,H',W']`` of the same dtype; H', W' as given by :meth:`grid`.
        """
        (h, w), (padded_h, padded_w) = self.grid((frame.shape[-2], frame.shape[-1]))
        if self.size is not None and (h, w) != tuple(frame.shape[-2:]):
            frame = F.interpolate(frame, size=(h, w), mode="bilinear", align_corners=False, antialias=True)
        if self.order == "bgr":
            frame = frame.flip(1)
        mean, std = _by_channel(self.mean, frame), _by_channel(self.std, frame)
        frame = (frame * self.scale - mean) / std
        if (padded_h, padded_w) != (h, w):
            frame = F.pad(frame, (0, padded_w - w, 0, padded_h - h), mode="replicate")
        return frame

    def grid(self, size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """Sizes that a frame takes on its way into the network.

        Args:
            size: (height, width) of the raw frame.

        Returns:
            (height, width) after resizing, and after padding.
        """
        h, w = self.size or size
        return (h, w), (self._padded(h), self._padded(w))

    def _padded(self, length: int) -> int:
        return -(-(length - self.remainder) // self.divisor) * self.divisor + self.remainder

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values, for a saved model; without what older versions of netwarp do not know or need."""
        return {name: value for name, value in asdict(self).items() if name != "remainder" or value}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Preprocess:
        """The inverse of :meth:`to_dict`, also after a trip through JSON."""
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**fields)


def _by_channel(values: tuple[float, float, float], like: Tensor) -> Tensor:
    """``[1,3,1,1]``, on a GPU without waiting for it."""
    on_gpu = like.device.type == "cuda"
    tensor = torch.tensor(values, dtype=like.dtype, pin_memory=on_gpu)
    return tensor.to(like.device, non_blocking=on_gpu).view(1, 3, 1, 1)
