"""Turn decoded frames into upright RGB."""

from __future__ import annotations

import struct

import av
import numpy as np
from av.sidedata.sidedata import SideData, SideDataContainer

from netwarp.video.source import Image

_UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED
_HD_HEIGHT = 720


def upright_rgb(frame: av.VideoFrame, matrix: str | None = None) -> Image:
    """Convert a decoded frame to RGB uint8 ``[H, W, 3]``, turned as its display matrix says.

    Gray is repeated, more than 8 bits are rounded to 8, what is transparent is laid over black. Frames that
    do not name their colour matrix are taken as BT.709 from 720 lines on and BT.601 below, as players do.
    """
    hd = frame.height >= _HD_HEIGHT
    if matrix is None and frame.colorspace == _UNSPECIFIED and not frame.format.is_rgb and hd:
        matrix = "ITU709"
    if any(component.is_alpha for component in frame.format.components):
        image = _over_black(np.asarray(frame.to_ndarray(format="rgba", src_colorspace=matrix), dtype=np.uint8))
    else:
        image = np.asarray(frame.to_ndarray(format="rgb24", src_colorspace=matrix), dtype=np.uint8)
    across, flip_x, flip_y = _orientation(frame)
    if across:
        image = image.transpose(1, 0, 2)
    return np.ascontiguousarray(image[:: -1 if flip_y else 1, :: -1 if flip_x else 1])


def lies_across(frame: av.VideoFrame) -> bool:
    """Whether rows of a decoded frame are columns of the upright one."""
    return _orientation(frame)[0]


def _over_black(rgba: Image) -> Image:
    if (rgba[..., 3] == 255).all():
        return rgba[..., :3]
    product = rgba[..., :3].astype(np.uint16) * rgba[..., 3:]
    return ((product + 127) // 255).astype(np.uint8)


def _orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """Whether to swap rows and columns, and then to mirror left and right, and top and bottom.

    From the display matrix (FFmpeg's ``display.h``: x' = a·x + c·y, y' = b·x + d·y), for quarter turns and flips.
    PyAV's ``frame.rotation`` does not tell a flip from a half turn, and is used only where PyAV does not know another
    of the frame's kinds of side data (of stereo and of layered video) and refuses them all.
    """
    try:
        # Not frame.side_data, which the frame keeps and which keeps the frame: decoded pictures would pile up,
        # hundreds at a time, until Python's collector comes by.
        matrix = SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]
    except ValueError:
        quarters = round(frame.rotation / 90) % 4  # counter-clockwise
        return quarters % 2 == 1, quarters in (2, 3), quarters in (1, 2)
    if not isinstance(matrix, SideData):
        return False, False, False
    a, b, _, c, d = struct.unpack("=9i", bytes(matrix)[:36])[:5]
    return (True, c < 0, b < 0) if abs(b) > abs(a) else (False, a < 0, d < 0)
