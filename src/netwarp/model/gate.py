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
    """``exp(−(e/s)²)`` of the photometric error e, where s is ``sigma`` plus ``noise`` times the frame's median error.

    Occlusions, wrong flow and whatever else changed its look get the current representation instead of the warped.
    The median is what noise, compression and changing light leave nearly everywhere: it makes the gate fit a dark,
    noisy video as well as a clean one.

    Attributes:
        sigma: Error (0–1) at which the trust has fallen to 1/e in a video without noise.
        window: Side of the window in pixels over which the error is averaged, odd; 1 for none.
        noise: How many median errors are added to ``sigma``; 0 for a fixed gate.

    Raises:
        ConfigurationError: ``sigma`` is not positive, ``window`` not odd and positive, or ``noise`` negative.
    """

    sigma: float = 0.02
    window: int = 1
    noise: float = 3.0

    def __post_init__(self) -> None:
        if not (self.sigma > 0 and math.isfinite(self.sigma)):
            raise ConfigurationError(f"a gate's sigma must be positive, not {self.sigma}")
        if self.window < 1 or self.window % 2 == 0:
            raise ConfigurationError(f"a gate's window must be odd and positive, not {self.window}")
        if not (self.noise >= 0 and math.isfinite(self.noise)):
            raise ConfigurationError(f"a gate's noise must be at least 0, not {self.noise}")

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
        # Every fourth row and column are plenty for a median, and a sixteenth of the time.
        median = error[..., ::4, ::4].flatten(1).median(1).values.view(-1, 1, 1, 1)
        return torch.exp(-((error / (self.sigma + self.noise * median)) ** 2))
