"""Paints road, pavement and sky."""

from __future__ import annotations

import cv2
import numpy as np

from netwarp.streets.paint_buildings import canvas, rough
from netwarp.streets.textures import Image, Texture, mottle
from netwarp.streets.weather import Weather


def road(
    rng: np.random.Generator,
    half: float,
    lanes: tuple[float, ...],
    period: float = 32.0,
    scale: tuple[int, int] = (32, 24),
) -> Texture:
    """A stretch of road that repeats along the street: asphalt, lines, cracks, patches, manholes."""
    sx, sz = scale
    w, h = int(2 * half * sx), int(period * sz)
    grey = rng.uniform(78, 122)
    picture = rough(rng, canvas(h, w, (int(grey), int(grey), int(grey * 1.03))), 0.07, 0.09, 128)
    columns = (np.arange(w) / sx - half)[None, :]
    worn = 1 + 0.05 * np.cos((np.abs(columns) - half / 2) * 4.0) * mottle(rng, (h, 1), 64)[:, :1]
    picture = np.clip(picture * worn[..., None], 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(2, 6))):
        x, y = int(rng.integers(w)), int(rng.integers(h))
        box = (x, y), (x + int(rng.uniform(0.6, 2.5) * sx), y + int(rng.uniform(1, 8) * sz))
        patch = picture[box[0][1] : box[1][1], box[0][0] : box[1][0]]
        patch[:] = np.clip(patch * rng.uniform(0.72, 1.12), 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(3, 9))):
        steps = np.cumsum(rng.normal(0, 1, (18, 2)) * (0.15 * sx, 0.5 * sz), 0) + rng.uniform(0, 1, 2) * (w, h)
        cv2.polylines(picture, [steps.astype(np.int32)], False, (int(grey * 0.6),) * 3, 1)
    for _ in range(int(rng.integers(1, 4))):
        centre = (int(rng.uniform(0.2, 0.8) * w), int(rng.uniform(0.1, 0.9) * h))
        cv2.ellipse(picture, centre, (int(0.32 * sx), int(0.32 * sz)), 0, 0, 360, (int(grey * 0.55),) * 3, -1)
        cv2.ellipse(picture, centre, (int(0.32 * sx), int(0.32 * sz)), 0, 0, 360, (int(grey * 0.8),) * 3, 2)
    paint = rng.uniform(185, 235)
    wear = np.clip(0.82 + 0.35 * mottle(rng, (h, w), 24), 0, 1)[..., None]
    lines = np.zeros((h, w), np.uint8)
    dash = int(rng.choice([2, 3, 4]))
    for lane in lanes:
        x = int((lane + half) * sx)
        for start in np.arange(0, period, 8.0):
            cv2.rectangle(lines, (x - 2, int(start * sz)), (x + 2, int((start + dash) * sz)), 255, -1)
    edge: tuple[float, float, float] = (paint, paint, paint)
    if rng.random() < 0.6:
        yellow = rng.random() < 0.5
        edge = (paint, paint * 0.8, paint * 0.3) if yellow else edge
        for offset in (0.3, 0.5) if yellow else (0.3,):
            for x in (int(offset * sx), w - int(offset * sx)):
                cv2.line(lines, (x, 0), (x, h), 128, 3)
    white = np.array([paint, paint, paint], np.float32)
    for value, ink in ((255, white), (128, np.array(edge, np.float32))):
        where = (lines == value)[..., None] * wear
        picture = np.clip(picture * (1 - where) + ink * where, 0, 255).astype(np.uint8)
    return Texture(picture)


def pavement(rng: np.random.Generator, width: float, period: float = 8.0, scale: int = 28) -> Texture:
    """Flagstones, repeating along the street; width and period in metres."""
    w, h = int(width * scale), int(period * scale)
    tone = rng.uniform(120, 176)
    picture = canvas(h, w, (int(tone), int(tone * 0.97), int(tone * 0.92)))
    flag = max(int(rng.uniform(0.45, 0.8) * scale), 4)
    shade = rng.normal(1, 0.06, (h // flag + 1, w // flag + 1))
    picture = np.clip(picture * np.kron(shade, np.ones((flag, flag)))[:h, :w, None], 0, 255).astype(np.uint8)
    picture[::flag] = np.clip(picture[::flag] * 0.75, 0, 255)
    picture[:, ::flag] = np.clip(picture[:, ::flag] * 0.75, 0, 255)
    return Texture(rough(rng, picture, 0.08, 0.05, 64))


def skyline(
    rng: np.random.Generator, weather: Weather, extent: tuple[float, float, float, float], labels: tuple[int, int, int]
) -> tuple[Image, Image]:
    """The sky with its clouds, and far roofs and trees along the horizon."""
    w, h = 768, 256
    _, top, _, bottom = extent
    rise = np.linspace(-top, -bottom, h, dtype=np.float32)
    blend = np.clip(rise / 0.7, 0, 1)[:, None, None] ** 0.7
    sky = weather.horizon * (1 - blend) + weather.zenith * blend
    clouds = mottle(rng, (h, w), 96, 5) * 1.3 + 2 * weather.clouds - 1
    cover = np.clip(clouds * 2.2, 0, 1)[..., None]
    white = np.clip(weather.horizon * 1.12 + 10, 0, 255) * (0.86 + 0.14 * mottle(rng, (h, w), 64, 3))[..., None]
    picture = sky * (1 - cover) + white * cover
    classes = np.full((h, w), labels[0], np.uint8)
    level = h * (0 - top) / (bottom - top)
    start = int(level) - 16
    rows = np.arange(start, h)[:, None]
    grain = 1 + 0.12 * rng.standard_normal((h - start, w), np.float32)[..., None]
    for label, tone, cell, tall in ((labels[1], 0.55, 8, 12.0), (labels[2], 0.42, 30, 9.0)):
        if label == labels[1]:
            steps = np.repeat(rng.uniform(0, 1, w // cell + 1), cell)[:w] * (mottle(rng, (1, w), 200)[0] > -0.1)
        else:
            steps = np.clip(0.35 + mottle(rng, (1, w), cell, 5)[0], 0, 1)
        there = rows > level - tall * steps[None, :]
        paint = weather.horizon * np.array([1.0, 1.02, 0.95], np.float32) * (0.5 * tone + 0.3) * grain
        picture[start:][there] = paint[there]
        classes[start:][there] = label
    return np.clip(picture, 0, 255).astype(np.uint8), classes
