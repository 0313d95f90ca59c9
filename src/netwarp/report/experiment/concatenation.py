"""The paper's baseline (section 4.1): features of both frames concatenated, instead of warped and summed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from netwarp.model import VideoModel

__all__ = ["Concatenation", "concatenate"]


class Concatenation(nn.Module):
    """Both frames' representations side by side, brought back to as many channels by a learned 1×1 convolution.

    The paper says only that features were concatenated. This is the smallest reading of it: nothing is warped, and
    every channel may draw on every channel of both frames. A fresh one passes the current representation on unchanged.

    Args:
        channels: Number of channels of the representation.

    Attributes:
        channels: The same.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.mix = nn.Conv2d(2 * channels, channels, 1, bias=False)
        with torch.no_grad():
            nn.init.zeros_(self.mix.weight)
            self.mix.weight[:, :channels, 0, 0] = torch.eye(channels)

    def forward(self, current: Tensor, previous: Tensor, flow: Tensor, gate: Tensor | None = None) -> Tensor:
        """Combine two frames' representations, as :meth:`netwarp.model.netwarp.NetWarp.forward` does.

        Args:
            current: ``[B,C,h,w]``, z_t.
            previous: ``[B,C,h,w]``, z_{t−1}.
            flow: Not looked at.
            gate: Not looked at.

        Returns:
            ``[B,C,h,w]``.
        """
        mixed: Tensor = self.mix(torch.cat([current, previous], dim=1))
        return mixed


def concatenate(model: VideoModel) -> VideoModel:
    """Put a :class:`Concatenation` in the place of every NetWarp of a model. Returns the model."""
    for place, netwarp in enumerate(model.netwarps):
        w1 = netwarp.w1
        assert isinstance(w1, Tensor)
        model.netwarps[place] = Concatenation(len(w1)).to(w1.device)
    return model
