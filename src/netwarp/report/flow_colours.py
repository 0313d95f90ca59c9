"""Optical flow as a picture: the hue is the direction, the saturation the length."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["flow_colours", "flow_wheel"]

Picture = npt.NDArray[np.uint8]


def flow_colours(flow: npt.NDArray[np.floating], limit: float) -> Picture:
    """Colour a flow; no motion is white.

    Args:
        flow: ``[2,H,W]`` in pixels; channel 0 = u (right), channel 1 = v (down).
        limit: Length in pixels that gets the full colour; longer flow gets no more.

    Returns:
        RGB uint8 ``[H,W,3]``.

    >>> flow_colours(np.array([[[0.0, 4.0]], [[0.0, 0.0]]]), limit=4.0).tolist()
    [[[255, 255, 255], [255, 0, 0]]]
    """
    import cv2

    u, v = flow.astype(np.float32)
    hsv = np.empty((*u.shape, 3), np.float32)
    hsv[..., 0] = np.degrees(np.arctan2(v, u)) % 360
    hsv[..., 1] = np.minimum(np.hypot(u, v) / limit, 1)
    hsv[..., 2] = 1
    colours: Picture = np.rint(255 * cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)).astype(np.uint8)
    return colours


def flow_wheel(size: int) -> npt.NDArray[np.uint8]:
    """The legend to :func:`flow_colours`: every flow at its own place, RGBA ``[size,size,4]``, clear outside."""
    along = np.linspace(-1, 1, size, dtype=np.float32)
    flow = np.stack(np.meshgrid(along, along))
    length = np.hypot(*flow)
    # An edge that is a pixel wide, so that the disc looks round.
    alpha = np.clip((1 - length) * size / 2, 0, 1)
    return np.dstack([flow_colours(flow, 1.0), np.rint(255 * alpha).astype(np.uint8)])
