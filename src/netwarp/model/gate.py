"""The gate: how far a warped pixel can be trusted, from how well the warped previous frame fits the current one."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from netwarp.errors import ConfigurationError
from netwarp.ops import warp

__all__ = ["PhotometricGate", "Trust", "photometric_error", "relative_error", "resize_trust"]

Trust = Tensor
"""``[B,1,H,W]`` in 0–1: how far the warped representation can be trusted at a pixel."""


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


def relative_error(error: Tensor, scale: float, noise: float) -> Tensor:
    """An error against what is usual in its map: ``(e / (scale + noise · median(e)))²``.

    Args:
        error: e, ``[B,1,H,W]``, at least 0.
        scale: In the units of the error.
        noise: How many medians of each map are added to it.

    Returns:
        ``[B,1,H,W]``.
    """
    # Every fourth row and column are plenty for a median, and a sixteenth of the time.
    median = error[..., ::4, ::4].flatten(1).median(1).values.view(-1, 1, 1, 1)
    return (error / (scale + noise * median)) ** 2


def resize_trust(trust: Trust, size: tuple[int, int]) -> Trust:
    """Bring trust to another grid, averaging over its cells; full trust everywhere stays exactly that.

    Args:
        trust: ``[B,1,H,W]``.
        size: (h, w).

    Returns:
        ``[B,1,h,w]``; the same tensor if nothing changes.
    """
    if tuple(trust.shape[-2:]) == size:
        return trust
    # What is averaged are doubts, since the weights of an average of ones do not add up to 1 in every last bit.
    return 1 - F.interpolate(1 - trust, size=size, mode="bilinear", align_corners=False, antialias=True)


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
        if not all(isinstance(value, (int, float)) for value in (self.sigma, self.window, self.noise)):
            raise ConfigurationError(f"a gate's sigma, window and noise must be numbers, not those of {self}")
        if not (self.sigma > 0 and math.isfinite(self.sigma)):
            raise ConfigurationError(f"a gate's sigma must be positive, not {self.sigma}")
        if self.window < 1 or self.window % 2 != 1:
            raise ConfigurationError(f"a gate's window must be odd and positive, not {self.window}")
        if not (self.noise >= 0 and math.isfinite(self.noise)):
            raise ConfigurationError(f"a gate's noise must be at least 0, not {self.noise}")

    def __call__(self, current: Tensor, previous: Tensor, flow: Tensor) -> Trust:
        """Compute the gate.

        Args:
            current: ``[B,3,H,W]``, RGB in 0–1.
            previous: ``[B,3,H,W]``.
            flow: ``[B,2,H,W]``, backward, pixels.

        Returns:
            ``[B,1,H,W]`` in 0–1.
        """
        return torch.exp(-self.cost(current, previous, flow))

    def cost(self, current: Tensor, previous: Tensor, flow: Tensor) -> Tensor:
        """``(e/s)²`` at every pixel, ``[B,1,H,W]``; arguments as in a call."""
        error = photometric_error(current, previous, flow)
        if self.window > 1:
            error = F.avg_pool2d(error, self.window, stride=1, padding=self.window // 2, count_include_pad=False)
        return relative_error(error, self.sigma, self.noise)

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values, for a saved model."""
        return asdict(self)
