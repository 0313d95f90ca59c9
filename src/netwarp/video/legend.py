"""The names of classes beside their colours, in a band at the bottom of a video's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from netwarp.label_sets import Colour
from netwarp.video.label_files import areas
from netwarp.video.source import Image

LEAST_SHARE = 1e-3
"""Share of a frame from which on a class has its place."""

TALLEST = 1 / 3
"""Share of the picture's height that the band takes at most."""

_Font = PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont


class Legend:
    """Draws the classes that have occurred so far, in the order in which they came, so that no name moves.

    The first row is the lowest. What has no room any more is counted in the last place. ``without`` are classes that
    are not drawn.
    """

    def __init__(self, names: Sequence[str], palette: Sequence[Colour], *, without: Sequence[int] = ()) -> None:
        self._names, self._palette = tuple(names), tuple(palette)
        self._without = frozenset(without)
        self._seen: list[int] = []

    def draw(self, image: Image, labels: npt.NDArray[np.integer]) -> Image:
        """Draw over a picture of a frame whose labels are ``[H,W]``, or ``[C,H,W]`` as sets."""
        shares = areas(labels, len(self._names)) / (labels.shape[-1] * labels.shape[-2])
        new = [int(number) for number in np.flatnonzero(shares >= LEAST_SHARE) if number not in self._without]
        self._seen += [number for number in new if number not in self._seen]
        if not self._seen:
            return image
        entries = tuple((self._names[number], self._palette[number]) for number in self._seen)
        band = _band(entries, image.shape[0], image.shape[1])
        result = image.copy()
        place = result[image.shape[0] - band.shape[0] :]
        # Dark enough for white letters; what lies below shines through.
        place[:] = np.where(band.any(axis=2, keepdims=True), band, place // 3)
        return result


@lru_cache(maxsize=16)
def _band(entries: tuple[tuple[str, Colour], ...], height: int, width: int) -> npt.NDArray[np.uint8]:
    """Names and colours in rows ``[h,width,3]``, 0 where the picture is seen."""
    size = max(11, round(height / 30))
    font = PIL.ImageFont.load_default(size)
    side, gap, line = round(0.9 * size), round(0.4 * size), round(1.5 * size)
    rows: list[list[tuple[int, str, Colour | None]]] = [[]]
    most = max(1, int(TALLEST * height) // line)
    at = gap
    for number, (name, colour) in enumerate(entries):
        text, wide = _fitting(name, font, width - side - 3 * gap)
        taken = side + gap + wide + 2 * gap
        if at + taken - gap > width and rows[-1]:
            if len(rows) == most:
                rows[-1] = _with_rest(rows[-1], len(entries) - number, font, width - gap, side + gap)
                break
            rows.append([])
            at = gap
        rows[-1].append((at, text, colour))
        at += taken
    canvas = PIL.Image.new("RGB", (width, min(len(rows) * line + gap, height)))
    pen = PIL.ImageDraw.Draw(canvas)
    for number, row in enumerate(reversed(rows)):
        middle = gap // 2 + number * line + line // 2
        for left, text, filling in row:
            if filling is not None:
                box = (left, middle - side // 2, left + side, middle - side // 2 + side)
                pen.rectangle(box, fill=tuple(max(1, value) for value in filling), outline=(210, 210, 210))
            pen.text(
                (left + (side + gap if filling else 0), middle), text, fill=(255, 255, 255), font=font, anchor="lm"
            )
    return np.array(canvas)


def _with_rest(
    row: list[tuple[int, str, Colour | None]], left_out: int, font: _Font, width: int, box: int
) -> list[tuple[int, str, Colour | None]]:
    """A last row that ends with how many classes have no room, in the place of those that would not leave any."""
    while True:
        text = f"+ {left_out}"
        at = row[-1][0] + box + round(font.getlength(row[-1][1])) + box if row else 0
        if not row or at + font.getlength(text) <= width:
            return [*row, (at, text, None)]
        row, left_out = row[:-1], left_out + 1


def _fitting(name: str, font: _Font, width: int) -> tuple[str, int]:
    """A name, cut where it is too long for a row, and its width in pixels."""
    text = name
    while len(text) > 1 and font.getlength(text) > width:
        text = f"{text.rstrip('…')[:-1]}…"
    return text, round(font.getlength(text))
