"""Flow before and after FlowCNN, and how long it is: what pictures of it need."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torchvision.utils import flow_to_image

from netwarp.model import VideoModel
from netwarp.model.inputs import base_device
from netwarp.model.netwarp import Flows
from netwarp.ops import Grid

Picture = npt.NDArray[np.uint8]


def flow_colours(flow: npt.NDArray[np.floating], limit: float) -> Picture:
    """Colour a flow ``[2,H,W]``: no motion is white, ``limit`` pixels or more are a full colour.

    >>> flow_colours(np.array([[[0.0, 4.0, 9.0]], [[0.0, 0.0, 0.0]]]), limit=4.0).tolist()
    [[[255, 255, 255], [255, 0, 0], [255, 0, 0]]]
    """
    vectors = torch.from_numpy(flow.astype(np.float32))
    vectors = vectors * (limit / torch.hypot(*vectors).clamp(min=limit))
    # flow_to_image takes the longest vector for the limit: a column that is cut off again holds it.
    longest = torch.tensor([limit, 0.0]).view(2, 1, 1).expand(2, vectors.shape[1], 1)
    return np.ascontiguousarray(flow_to_image(torch.cat([vectors, longest], 2)).permute(1, 2, 0)[:, :-1])


def flow_wheel(size: int) -> npt.NDArray[np.uint8]:
    """The legend to :func:`flow_colours`: every flow at its own place, RGBA ``[size,size,4]``, clear outside."""
    along = np.linspace(-1, 1, size, dtype=np.float32)
    flow = np.stack(np.meshgrid(along, along))
    length = np.hypot(*flow)
    # An edge that is a pixel wide, so that the disc looks round.
    alpha = np.clip((1 - length) * size / 2, 0, 1)
    return np.dstack([flow_colours(flow, 1.0), np.rint(255 * alpha).astype(np.uint8)])


Flow = npt.NDArray[np.float32]


def before_and_after(model: VideoModel, current: Picture, previous: Picture) -> tuple[Flow, Flow]:
    """Flow before and after a model's FlowCNN."""
    device = base_device(model.base)
    present, past = (
        torch.from_numpy(frame).permute(2, 0, 1)[None].contiguous().to(device) for frame in (current, previous)
    )
    with torch.no_grad():
        before = model.estimate_flow(present, past)
        motion = model.motion_between(present, past, model.flows_between(present, past, before) or Flows(before))
        size = (before.shape[-2], before.shape[-1])
        shrunk = [n / length for n, length in zip(motion.resized, size, strict=True)]
        after, _ = motion.at(Grid.of_cells(shrunk), size)
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
