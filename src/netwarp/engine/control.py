"""The control of an experiment: the same model, trained the same, without memory."""

from __future__ import annotations

import torch

from netwarp.model import VideoModel

__all__ = ["hold_w2"]


def hold_w2(model: VideoModel) -> VideoModel:
    """Make a model the control of its own experiment: every w2 is held at 0, everything else stays as it is.

    w1 takes over what w2 had, so that the model starts with the same total weight. Returns the model.
    """
    with torch.no_grad():
        for netwarp in model.netwarps:
            netwarp.w1.add_(netwarp.w2)  # type: ignore[operator, arg-type]
            netwarp.w2.zero_().requires_grad_(False)  # type: ignore[operator]
    return model
