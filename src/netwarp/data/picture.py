"""From a decoded video frame to the picture that a player would show."""

from __future__ import annotations

import struct

import av
import numpy as np
from av.sidedata.sidedata import SideData, SideDataContainer

from netwarp.data.frames import Image

__all__ = ["upright_rgb"]

_UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED
_HD_HEIGHT = 720


def upright_rgb(frame: av.VideoFrame, matrix: str | None = None) -> Image:
    """Convert a decoded frame to RGB uint8 ``[H, W, 3]``, turned as its display matrix says.

    Gray is repeated, more than 8 bits are rounded to 8, what is transparent is laid over black. Frames that
    do not name their colour matrix are taken as BT.709 from 720 lines on and BT.601 below, as players do.

    Args:
        frame: As the decoder gives it.
        matrix: The colour matrix, ``"ITU601"`` or ``"ITU709"``, for who knows better than the file.
    """
    hd = frame.height >= _HD_HEIGHT
    if matrix is None and frame.colorspace == _UNSPECIFIED and not frame.format.is_rgb and hd:
        matrix = "ITU709"
    if any(component.is_alpha for component in frame.format.components):
        image = _over_black(np.asarray(frame.to_ndarray(format="rgba", src_colorspace=matrix), dtype=np.uint8))
    else:
        image = np.asarray(frame.to_ndarray(format="rgb24", src_colorspace=matrix), dtype=np.uint8)
    return np.ascontiguousarray(_turn(image, frame))


def _over_black(rgba: Image) -> Image:
    if (rgba[..., 3] == 255).all():
        return rgba[..., :3]
    product = rgba[..., :3].astype(np.uint16) * rgba[..., 3:]
    return ((product + 127) // 255).astype(np.uint8)


def _turn(image: Image, frame: av.VideoFrame) -> Image:
    """Apply the display matrix (FFmpeg's ``display.h``: x' = a·x + c·y, y' = b·x + d·y) for quarter turns and flips.

    PyAV's ``frame.rotation`` is not used: it does not tell a flip from a half turn.
    """
    # Not frame.side_data, which the frame keeps and which keeps the frame: decoded pictures would pile up, hundreds at
    # a time, until Python's collector comes by.
    matrix = SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]
    if not isinstance(matrix, SideData):
        return image
    a, b, _, c, d = struct.unpack("=9i", bytes(matrix)[:36])[:5]
    if abs(b) > abs(a):
        image, flip_x, flip_y = image.transpose(1, 0, 2), c < 0, b < 0
    else:
        flip_x, flip_y = a < 0, d < 0
    return image[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
