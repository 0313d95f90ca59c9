"""Paints houses and what fences them in."""

from __future__ import annotations

import cv2
import numpy as np

from netwarp.streets.textures import Image, Texture, mottle
from netwarp.streets.weather import Weather

Rgb = tuple[int, int, int]

_WALLS: tuple[Rgb, ...] = (
    (142, 84, 66), (160, 110, 84), (186, 160, 120), (205, 196, 176), (226, 222, 212), (150, 146, 138),
    (120, 72, 62), (196, 178, 148), (108, 104, 102), (214, 186, 150), (168, 130, 104), (188, 196, 202),
)  # fmt: skip
_SHOPS: tuple[Rgb, ...] = (
    (30, 60, 40), (120, 24, 28), (24, 40, 86), (36, 36, 40), (190, 150, 40), (70, 30, 60), (200, 200, 196),
    (20, 90, 100),
)  # fmt: skip


def canvas(height: int, width: int, colour: Rgb) -> Image:
    """A picture of one colour, ``[h,w,3]``."""
    return np.full((height, width, 3), colour, np.uint8)


def rough(rng: np.random.Generator, picture: Image, coarse: float, fine: float, cell: int = 48) -> Image:
    """The picture with stains (``coarse``) and grain (``fine``), both as shares of its brightness."""
    shape = picture.shape[:2]
    factor = 1 + coarse * mottle(rng, shape, cell, 4) + fine * rng.standard_normal(shape, np.float32)
    return np.clip(picture * factor[..., None], 0, 255).astype(np.uint8)


def _bricks(rng: np.random.Generator, picture: Image, scale: float) -> None:
    """Courses of brick, in place: each brick its own shade, and paler joints."""
    h, w = picture.shape[:2]
    course, length = max(int(0.15 * scale), 2), max(int(0.45 * scale), 3)
    rows, columns = h // course + 1, w // length + 2
    shade = np.kron(rng.normal(1, 0.06, (rows, columns)), np.ones((course, length)))
    shifted = np.empty((rows * course, w))
    for r in range(rows):
        start = (r % 2) * length // 2
        shifted[r * course : (r + 1) * course] = shade[r * course : (r + 1) * course, start : start + w]
    shifted[::course] *= 1.12
    picture[:] = np.clip(picture * shifted[:h, :, None], 0, 255).astype(np.uint8)


def _window(
    rng: np.random.Generator, picture: Image, glow: Image, box: tuple[int, int, int, int], frame: Rgb, lit: bool
) -> None:
    """A window with frame, glazing bar, sill and a reflection of the sky, or lit from inside."""
    x0, y0, x1, y1 = box
    if x1 - x0 < 4 or y1 - y0 < 4:
        return
    cv2.rectangle(picture, (x0 - 1, y0 - 1), (x1, y1), frame, -1)
    h, w = y1 - y0 - 2, x1 - x0 - 2
    ramp = np.linspace(rng.uniform(0.5, 1.2), rng.uniform(0.2, 0.6), max(h, 1))[:, None, None]
    base = np.array((255, 206, 130) if lit else (84, 98, 114), np.float32) * (0.7 if lit else 1.0)
    pane = base * (0.6 + 0.5 * ramp) if not lit else base * (0.8 + 0.2 * ramp)
    picture[y0 + 1 : y0 + 1 + h, x0 + 1 : x0 + 1 + w] = np.clip(pane, 0, 255).astype(np.uint8)
    # Drawn whether used or not: the same street by night and by day.
    curtains, tone = rng.random() < 0.4, int(rng.integers(120, 220))
    if curtains and not lit:
        side = max(w // 4, 1)
        picture[y0 + 1 : y0 + 1 + h, x0 + 1 : x0 + 1 + side] = tone
        picture[y0 + 1 : y0 + 1 + h, x1 - 1 - side : x1 - 1] = tone
    if lit:
        glow[y0 + 1 : y0 + 1 + h, x0 + 1 : x0 + 1 + w] = 1
    cv2.line(picture, ((x0 + x1) // 2, y0), ((x0 + x1) // 2, y1 - 1), frame, 1)
    cv2.line(picture, (x0, (y0 + y1) // 2), (x1 - 1, (y0 + y1) // 2), frame, 1)
    cv2.rectangle(picture, (x0 - 2, y1), (x1 + 1, y1 + 1), tuple(int(0.8 * c) for c in frame), -1)


def _shopfront(rng: np.random.Generator, picture: Image, glow: Image, top: int, scale: float, lit: bool) -> None:
    """A shop on the ground floor, in place: fascia with lettering, glass, posts and a door."""
    h, w = picture.shape[:2]
    paint = _SHOPS[int(rng.integers(len(_SHOPS)))]
    fascia = top + int(0.65 * scale)
    cv2.rectangle(picture, (0, top), (w, h), paint, -1)
    ink = (235, 228, 205) if sum(paint) < 330 else (40, 36, 40)
    x = int(rng.uniform(0.1, 0.3) * w)
    while x < 0.8 * w:
        width = int(rng.uniform(0.12, 0.35) * scale) + 1
        cv2.rectangle(
            picture, (x, top + int(0.2 * scale)), (x + width, fascia - int(0.17 * scale)), ink, 1 + (width % 2)
        )
        x += width + max(int(0.1 * scale), 2)
    y0, y1 = fascia + 2, h - int(0.45 * scale)
    glass = np.array((255, 222, 160) if lit else (58, 66, 74), np.float32)
    blobs = 1 + 0.5 * mottle(rng, (y1 - y0, w), max(int(scale), 2))
    bay = int(rng.uniform(1.2, 2.0) * scale)
    pane = np.clip(glass * blobs[..., None], 0, 255).astype(np.uint8)
    for left in range(int(0.15 * scale), w - int(0.3 * scale), bay):
        right = min(left + bay - int(0.12 * scale), w - int(0.15 * scale))
        door = rng.random() < 0.25
        bottom = h - 2 if door else y1
        picture[y0:y1, left:right] = pane[:, left:right]
        if bottom > y1:
            picture[y1:bottom, left:right] = (34, 34, 36)
        if lit:
            glow[y0:y1, left:right] = 1


def facade(rng: np.random.Generator, size: tuple[float, float], weather: Weather, scale: float = 20.0) -> Texture:
    """The front of a house: ground floor with door or shop, windows in storeys, cornice, downpipe."""
    w, h = (max(int(s * scale), 8) for s in size)
    colour = _WALLS[int(rng.integers(len(_WALLS)))]
    picture = canvas(h, w, colour)
    glow = np.zeros((h, w), np.uint8)
    if rng.random() < 0.6:
        _bricks(rng, picture, scale)
    picture = rough(rng, picture, 0.08, 0.03)
    frame: Rgb = (228, 226, 220) if rng.random() < 0.75 else (60, 52, 48)
    ground = int(3.2 * scale)
    storey = int(rng.uniform(2.7, 3.2) * scale)
    wide, tall = rng.uniform(0.9, 1.5) * scale, rng.uniform(1.3, 1.7) * scale
    count = max(int(w / (wide + rng.uniform(0.7, 1.5) * scale)), 1)
    pitch = w / count
    y = h - ground - storey
    while y > -0.4 * storey:
        for i in range(count):
            x0, y0 = int((i + 0.5) * pitch - wide / 2), int(y + 0.22 * storey)
            if y0 > 0.35 * scale:
                box = (x0, y0, int(x0 + wide), int(y0 + tall))
                _window(rng, picture, glow, box, frame, bool(rng.random() < weather.lit))
        y -= storey
    if rng.random() < 0.5:
        _shopfront(rng, picture, glow, h - ground, scale, bool(rng.random() < 1.5 * weather.lit))
    else:
        door = int(rng.integers(count))
        for i in range(count):
            x0 = int((i + 0.5) * pitch - wide / 2)
            if i == door:
                paint = _SHOPS[int(rng.integers(len(_SHOPS)))]
                cv2.rectangle(picture, (x0, h - int(2.3 * scale)), (x0 + int(1.0 * scale), h), frame, -1)
                cv2.rectangle(picture, (x0 + 2, h - int(2.2 * scale)), (x0 + int(1.0 * scale) - 2, h), paint, -1)
            else:
                box = (x0, h - int(2.5 * scale), int(x0 + wide), h - int(0.9 * scale))
                _window(rng, picture, glow, box, frame, bool(rng.random() < weather.lit))
        band = tuple(int(0.8 * c) for c in colour)
        cv2.rectangle(picture, (0, h - int(0.4 * scale)), (w, h), band, -1)
    trim = tuple(int(min(1.15 * c, 255)) for c in colour)
    cv2.rectangle(picture, (0, 0), (w, int(0.25 * scale)), trim, -1)
    cv2.line(picture, (0, int(0.28 * scale)), (w, int(0.28 * scale)), tuple(int(0.5 * c) for c in colour), 2)
    cv2.line(picture, (w - 3, 0), (w - 3, h), (56, 54, 52), 2)
    return Texture(picture, glow=glow.astype(bool))


def wall(rng: np.random.Generator, size: tuple[float, float], scale: float = 16.0) -> Texture:
    """A bare brick or plaster wall with a coping; size in metres."""
    w, h = (max(int(s * scale), 8) for s in size)
    picture = canvas(h, w, _WALLS[int(rng.integers(len(_WALLS)))])
    if rng.random() < 0.7:
        _bricks(rng, picture, scale)
    picture = rough(rng, picture, 0.10, 0.04)
    picture[: max(int(0.1 * scale), 2)] = np.clip(picture[: max(int(0.1 * scale), 2)] * 0.75, 0, 255)
    return Texture(picture)


def roof(rng: np.random.Generator, scale: float = 10.0) -> Texture:
    """Slates or tiles, 8 m × 4 m."""
    colour: Rgb = ((74, 76, 84), (128, 74, 56), (92, 84, 78))[int(rng.integers(3))]
    picture = canvas(int(4 * scale), int(8 * scale), colour)
    _bricks(rng, picture, 2 * scale)
    return Texture(rough(rng, picture, 0.12, 0.05))


def plain(rng: np.random.Generator, colour: Rgb, size: tuple[int, int] = (32, 32), grain: float = 0.05) -> Texture:
    """A grainy surface of one colour; size (height, width) in texels."""
    return Texture(rough(rng, canvas(*size, colour), 0.08, grain, 16))


def railing(rng: np.random.Generator, length: float, height: float, scale: float = 32.0) -> Texture:
    """Iron bars or a wooden paling that one looks through; size in metres."""
    w, h = max(int(length * scale), 8), max(int(height * scale), 8)
    picture = canvas(h, w, ((36, 38, 40), (200, 202, 204), (96, 72, 50), (30, 62, 44))[int(rng.integers(4))])
    alpha = np.zeros((h, w), np.uint8)
    wooden = rng.random() < 0.3
    bar, step = (int(0.11 * scale), int(0.15 * scale)) if wooden else (2, int(0.13 * scale))
    for x in range(0, w, step):
        alpha[int(rng.uniform(0, 0.04) * h) :, x : x + bar] = 255
    for share in (0.12, 0.55, 0.9):
        y = int(share * h)
        alpha[y : y + 3] = 255
    for x in range(0, w, int(2.2 * scale)):
        alpha[:, x : x + 4] = 255
    return Texture(rough(rng, picture, 0.05, 0.08), alpha)
