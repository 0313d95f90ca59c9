"""NetWarp: the previous frame's representation, brought to the current frame and added to it (paper, section 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from netwarp.errors import ConfigurationError
from netwarp.model.gates import resize_confidence
from netwarp.ops import resize_flow, warp_combine


class NetWarp(nn.Module):
    """Combination of representations, z̃_t = w1 ⊙ z_t + w2 ⊙ Warp(z_{t−1}, F) (paper, Eq. 1–3).

    A fresh one passes the current representation on unchanged: w1 = 1, w2 = 0.

    Args:
        channels: Number of channels of the representation.
        start: Initial value of all w1 and of all w2.

    Attributes:
        w1: ``[channels]``, weights of the current frame's representation.
        w2: ``[channels]``, weights of the previous frame's, warped.

    Raises:
        ConfigurationError: ``channels`` is below 1.
    """

    def __init__(self, channels: int, start: tuple[float, float] = (1.0, 0.0)) -> None:
        super().__init__()
        if channels < 1:
            raise ConfigurationError(f"a NetWarp needs at least 1 channel, not {channels}")
        self.w1 = nn.Parameter(torch.full((channels,), float(start[0])))
        self.w2 = nn.Parameter(torch.full((channels,), float(start[1])))

    @property
    def channels(self) -> int:
        """Number of channels of the representation."""
        return self.w1.numel()

    def forward(self, current: Tensor, previous: Tensor, flow: Tensor, gate: Tensor | None = None) -> Tensor:
        """Combine two frames' representations.

        Args:
            current: ``[B,C,h,w]``, z_t.
            previous: ``[B,C,h,w]``, z_{t−1}.
            flow: ``[B,2,H,W]``, backward, on any grid over the same picture; it is brought to h×w here.
            gate: ``[B,1,H,W]`` in 0–1, how far the warped representation can be trusted, or None for everywhere.

        Returns:
            ``[B,C,h,w]``, z̃_t, like ``current``.
        """
        size = (current.shape[-2], current.shape[-1])
        if gate is not None:
            gate = resize_confidence(gate, size)
        return warp_combine(current, previous, resize_flow(flow, size), self.w1, self.w2, gate)

    def extra_repr(self) -> str:  # noqa: D102
        return f"channels={self.channels}"
