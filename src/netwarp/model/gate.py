"""The gate: how far a warped pixel can be trusted, from how well the warped previous frame fits the current one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from netwarp.errors import ConfigurationError
from netwarp.ops import warp

__all__ = ["PhotometricGate", "photometric_error"]


def photometric_error(current: Tensor, previous: Tensor, flow: Tensor) -> Tensor:
    """How far the current frame is from the previous one warped along the flow.

    Args:
        current: ``[B,3,H,W]``, RGB in 0–1.
        previous: ``[B,3,H,W]``.
        flow: ``[B,2,H,W]``, backward, pixels.

    Returns:
        ``[B,1,H,W]``, the mean absolute difference over the three channels, in 0–1.
    """
    return (current - warp(previous, flow)).abs().mean(1, keepdim=True)


@dataclass(frozen=True)
class PhotometricGate:
    """``exp(−(e/σ)²)`` of the photometric error e, averaged over a small window.

    Occlusions, wrong flow and whatever else changed its look get the current representation instead of the warped.

    Attributes:
        sigma: Error (0–1) at which the trust has fallen to 1/e.
        window: Side of the averaging window in pixels, odd; 1 for none.

    Raises:
        ConfigurationError: ``sigma`` is not positive, or ``window`` is not odd and positive.
    """

    sigma: float = 0.1
    window: int = 5

    def __post_init__(self) -> None:
        if not (self.sigma > 0 and math.isfinite(self.sigma)):
            raise ConfigurationError(f"a gate's sigma must be positive, not {self.sigma}")
        if self.window < 1 or self.window % 2 == 0:
            raise ConfigurationError(f"a gate's window must be odd and positive, not {self.window}")

    def __call__(self, current: Tensor, previous: Tensor, flow: Tensor) -> Tensor:
        """Compute the gate.

        Args:
            current: ``[B,3,H,W]``, RGB in 0–1.
            previous: ``[B,3,H,W]``.
            flow: ``[B,2,H,W]``, backward, pixels.

        Returns:
            ``[B,1,H,W]`` in 0–1.
        """
        error = photometric_error(current, previous, flow)
        if self.window > 1:
            error = F.avg_pool2d(error, self.window, stride=1, padding=self.window // 2, count_include_pad=False)
        return torch.exp(-((error / self.sigma) ** 2))
