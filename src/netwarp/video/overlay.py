"""Draw labels over their frame, and two pictures side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from netwarp.errors import ConfigurationError
from netwarp.label_sets import IGNORE, Colour
from netwarp.video.label_maps import kept_palette
from netwarp.video.source import Image


def overlay(image: Image, labels: npt.NDArray[np.integer], palette: Sequence[Colour], *, alpha: float = 0.5) -> Image:
    """Lay class colours over a frame, with a thin line where classes meet."""
    if labels.shape != image.shape[:2]:
        raise ConfigurationError(f"labels of {_by(labels)} do not fit a frame of {_by(image)}: resize them first")
    if not 0 <= alpha <= 1:
        raise ConfigurationError(f"alpha must be from 0 to 1, not {alpha}")
    indices = np.ascontiguousarray(labels, dtype=np.uint8)
    colours = np.take(kept_palette(tuple(palette)), indices, axis=0)
    blended: Image = cv2.addWeighted(image, 1 - alpha, colours, alpha, 0)
    _draw_edges(blended, [indices])
    ignored = indices == IGNORE
    if ignored.any():
        blended[ignored] = image[ignored]
    return blended


def overlay_sets(
    image: Image, labels: npt.NDArray[np.integer], palette: Sequence[Colour], *, alpha: float = 0.5
) -> Image:
    """Lay the colours of labels ``[C,H,W]`` (1 where each is, else 0; or ``[H,W]`` of one) over a frame.

    Where there are several it is the mean of their colours, and where there is none the frame stays as it is.
    """
    sets = labels if labels.ndim == 3 else labels[None]
    if sets.shape != (len(palette), *image.shape[:2]):
        raise ConfigurationError(f"labels {list(labels.shape)} do not fit {len(palette)} colours, {_by(image)}")
    colours = np.tensordot(sets, np.array(palette, np.float32), (0, 0))
    count = sets.sum(0, dtype=np.int32)[..., None]
    mixed = np.round(colours / np.maximum(count, 1)).astype(np.uint8)
    blended: Image = np.where(count > 0, cv2.addWeighted(image, 1 - alpha, mixed, alpha, 0), image)
    _draw_edges(blended, sets)
    return blended


def _draw_edges(image: Image, maps: Iterable[npt.NDArray[np.integer]]) -> None:
    """Draw a line along pixels whose right or lower neighbour has another label in one of some maps ``[H,W]``.

    Light lines: label sets' colours are mostly dark, and dark lines drown between two of them. Half of the colour
    stays, or a pole three pixels wide would lose its own.
    """
    edges = np.zeros(image.shape[:2], dtype=np.bool_)
    for labels in maps:
        edges[:, :-1] |= labels[:, :-1] != labels[:, 1:]
        edges[:-1] |= labels[:-1] != labels[1:]
    if (width := round(image.shape[0] / 720)) > 1:
        edges = cv2.dilate(edges.view(np.uint8), np.ones((width, width), dtype=np.uint8)).view(np.bool_)
    image[edges] = image[edges] // 2 + 127


def side_by_side(left: Image, right: Image, captions: tuple[str, str] | None = None) -> Image:
    """Put two pictures of one height beside each other, with a narrow gap and a caption at each one's top."""
    if left.shape[0] != right.shape[0]:
        raise ConfigurationError(f"pictures of {_by(left)} and {_by(right)} differ in height: scale one first")
    height = left.shape[0]
    gap = np.full((height, _gap(height), 3), 255, dtype=np.uint8)
    if captions is not None:
        left, right = (_captioned(picture, text) for picture, text in zip((left, right), captions, strict=True))
    return np.concatenate([left, gap, right], axis=1)


def _gap(height: int) -> int:
    """The width between two pictures. Even: two of one width then make an even width, which video wants."""
    return 2 * max(1, round(height / 360))


def size_beside(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of two pictures of a size beside each other.

    >>> size_beside((360, 640))
    (360, 1282)
    """
    return size[0], 2 * size[1] + _gap(size[0])


def _captioned(image: Image, text: str) -> Image:
    if not text:
        return image
    label = _label(text, max(13, round(image.shape[0] / 22)), image.shape[1])
    height, width = min(label.shape[0], image.shape[0]), min(label.shape[1], image.shape[1])
    result = image.copy()
    result[:height, :width] = label[:height, :width] + result[:height, :width] // 4
    return result


@lru_cache(maxsize=16)
def _label(text: str, size: int, limit: int) -> npt.NDArray[np.uint8]:
    """Draw white text on black, at three quarters of full brightness; the picture shines through with the last one."""
    while True:
        font = PIL.ImageFont.load_default(size)
        left, _, right, _ = font.getbbox(text)
        pad = max(3, round(size * 0.4))
        width = round(right - left) + 2 * pad
        if width <= limit or size <= 8:
            break
        size -= 1
    canvas = PIL.Image.new("L", (width, round(size * 1.2) + pad), 0)
    PIL.ImageDraw.Draw(canvas).text((pad - left, canvas.height / 2), text, fill=255, font=font, anchor="lm")
    gray = (np.asarray(canvas).astype(np.uint16) * 191 // 255).astype(np.uint8)
    return np.repeat(gray[:, :, None], 3, axis=2)


def _by(picture: npt.NDArray[np.generic]) -> str:
    return f"{picture.shape[1]}×{picture.shape[0]}"
