"""Flow before and after FlowCNN, and how long it is: what pictures of it need."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

from netwarp.model import VideoModel
from netwarp.model.motion import motion_between
from netwarp.model.probe import base_device
from netwarp.ops import resize_flow

__all__ = ["Flow", "before_and_after", "length_of", "round_limit"]

Flow = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]


def before_and_after(model: VideoModel, current: Picture, previous: Picture) -> tuple[Flow, Flow]:
    """Flow before and after a model's FlowCNN.

    Args:
        model: One with a FlowCNN, which is shown what it is shown in the model: frames as they are, or as the network
            sees them.
        current: Frame, RGB uint8 ``[H,W,3]``.
        previous: The one before it.

    Returns:
        Both ``[2,H,W]``, backward, in pixels of the frame.
    """
    device = base_device(model.base)
    present, past = (
        torch.from_numpy(frame).permute(2, 0, 1)[None].contiguous().to(device) for frame in (current, previous)
    )
    with torch.no_grad():
        before = model.estimate_flow(present, past)
        motion = motion_between(present, past, before, flow_cnn=model.flow_cnn, gate=None, preprocess=model.preprocess)
        size = (before.shape[-2], before.shape[-1])
        (height, width), padded = model.preprocess.grid(size)
        after = motion.flow
        if padded != (height, width):  # the padding is no part of the frame
            after = resize_flow(after, padded)[..., :height, :width]
        after = resize_flow(after, size)
    return before[0].cpu().numpy(), after[0].cpu().numpy()


def length_of(flow: Flow) -> Flow:
    """Of a flow ``[2,H,W]`` at each pixel, ``[H,W]``."""
    return np.asarray(np.hypot(flow[0], flow[1]), np.float32)


def round_limit(value: float) -> float:
    """The next number of one digit, or 1.5 or 2.5, times a power of ten.

    >>> round_limit(3.2), round_limit(0.41), round_limit(12.0)
    (4.0, 0.5, 15.0)
    """
    power = 10.0 ** math.floor(math.log10(max(value, 0.01)))
    steps = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9, 10)
    return next(round(step * power, 3) for step in steps if step * power >= value - 1e-9)
