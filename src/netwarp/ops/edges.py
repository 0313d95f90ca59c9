"""Joint bilateral filter: labels from probabilities that are averaged over pixels of like colour.

Petschnigg et al., "Digital photography with flash and no-flash image pairs", SIGGRAPH 2004 (Eq. 6); the closeness of
pixels counts as 1 inside of the window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from netwarp.errors import ConfigurationError
from netwarp.ops.kernels import kernel_for

LARGEST_WINDOW = 31


@dataclass(frozen=True)
class Edges:
    """Moves the edges of labels to those of the frame.

    Of each pixel p it takes the label with the largest Σ_q exp(−‖I_p − I_q‖² / 2σ²) P_q over the pixels q of a window
    around it, among the labels of those pixels; P are probabilities, I the frame, ‖·‖ the root mean square over its
    channels. Where the window has one label, that is the result.

    Attributes:
        window: Side of the window in pixels, odd.
        sigma: Difference of colours (0–1) from which on they count as different.

    Raises:
        ConfigurationError: ``window`` is not odd or out of range, or ``sigma`` not positive.
    """

    window: int = 7
    sigma: float = 0.05

    def __post_init__(self) -> None:
        if not isinstance(self.window, int) or not (1 <= self.window <= LARGEST_WINDOW and self.window % 2):
            raise ConfigurationError(f"the filter's window must be odd, from 1 to {LARGEST_WINDOW}, not {self.window}")
        if not (isinstance(self.sigma, (int, float)) and 0 < self.sigma <= 1):
            raise ConfigurationError(f"the filter's sigma must be above 0 and at most 1, not {self.sigma}")

    def __call__(
        self, answer: Tensor, labels: Tensor, frame: Tensor, *, logits: bool = True, keep: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Filter a map of classes.

        Args:
            answer: ``[B,C,H,W]``, logits, or probabilities where ``logits`` is False.
            labels: ``[B,H,W]``, the class of its largest entry; integers.
            frame: ``[B,3,H,W]``, uint8, or floating point in 0–1, which is rounded to that.
            logits: What ``answer`` holds.
            keep: Whether the means are wanted too.

        Returns:
            Labels ``[B,H,W]`` like ``labels``; and with ``keep`` the means ``[B,C,H,W]``, 0 for labels that the window
            does not have. They hold anything where no window around has more than one label.
        """
        if frame.dtype != torch.uint8:
            frame = (frame * 255).round().clamp(0, 255).to(torch.uint8)
        weights = self._weights().to(answer.device)
        found: tuple[Tensor, Tensor | None] = kernel_for(answer).guide_labels(
            answer, labels, frame, weights, self.window // 2, logits, keep
        )
        return found

    def _weights(self) -> Tensor:
        """By squared distance of colours in steps of 1/255, summed over three channels; 0 from the last on."""
        scale = 6 * (255 * self.sigma) ** 2
        weights = torch.exp(-torch.arange(min(math.ceil(9.2 * scale), 3 * 255**2) + 2) / scale)
        weights[-1] = 0
        return weights
