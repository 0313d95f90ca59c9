"""Pictures and videos as text that a page can hold."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from netwarp.data.masks import Colour, LabelMap, full_palette
from netwarp.errors import OutputError

__all__ = ["colours_of", "enlarged", "in_a_row", "mp4_uri", "png_uri"]

Picture = npt.NDArray[np.uint8]


def colours_of(labels: LabelMap, palette: Sequence[Colour]) -> Picture:
    """A label map ``[H,W]`` in its classes' colours, RGB ``[H,W,3]``."""
    return full_palette(palette)[labels]


def enlarged(picture: npt.NDArray[np.generic], times: int) -> Picture:
    """Every pixel ``times`` as wide and high, as a square: nothing is invented between pixels."""
    return np.asarray(picture.repeat(times, axis=0).repeat(times, axis=1), np.uint8)


def in_a_row(pictures: Sequence[Picture], gap: int = 4) -> Picture:
    """Pictures of one height beside each other, RGBA with clear gaps between."""
    parts: list[Picture] = []
    for picture in pictures:
        opaque = np.full((*picture.shape[:2], 1), 255, np.uint8)
        clear = np.zeros((picture.shape[0], gap, 4), np.uint8)
        parts += [clear, np.concatenate([picture, opaque], axis=2)]
    return np.concatenate(parts[1:], axis=1)


def png_uri(picture: Picture) -> str:
    """A picture, RGB or RGBA, as a ``data:`` address that holds it."""
    import cv2

    code = cv2.COLOR_RGBA2BGRA if picture.shape[2] == 4 else cv2.COLOR_RGB2BGR
    ok, data = cv2.imencode(".png", cv2.cvtColor(picture, code), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if not ok:
        raise OutputError(f"a picture of {picture.shape[1]}×{picture.shape[0]} cannot be stored as PNG")
    return "data:image/png;base64," + base64.b64encode(data.tobytes()).decode("ascii")


def mp4_uri(path: Path) -> str:
    """A video file as a ``data:`` address that holds it."""
    return "data:video/mp4;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
