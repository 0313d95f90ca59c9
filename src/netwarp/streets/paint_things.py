"""Paints what stands and moves in a street: trees, signs, cars, people, bicycles."""

from __future__ import annotations

import math

import cv2
import numpy as np

from netwarp.streets.textures import Image, Texture, mottle

Rgb = tuple[int, int, int]

CAR_PAINT: tuple[Rgb, ...] = (
    (30, 30, 34), (196, 200, 204), (226, 226, 224), (120, 124, 130), (28, 48, 96), (140, 22, 26), (70, 76, 84),
    (36, 72, 54), (164, 150, 120), (200, 60, 30), (84, 130, 180),
)  # fmt: skip
CLOTH: tuple[Rgb, ...] = (
    (28, 30, 38), (50, 54, 66), (120, 24, 30), (36, 56, 110), (210, 206, 196), (80, 70, 56), (30, 80, 60),
    (190, 120, 40), (96, 96, 104), (60, 30, 60), (230, 220, 60),
)  # fmt: skip
SKIN: tuple[Rgb, ...] = ((222, 178, 150), (190, 140, 108), (130, 90, 66), (92, 62, 46))


def _shaded(rng: np.random.Generator, h: int, w: int, colour: Rgb, rough: float = 0.15) -> Image:
    factor = 1 + rough * mottle(rng, (h, w), max(min(h, w) // 3, 2), 3)
    return np.clip(np.array(colour, np.float32) * factor[..., None], 0, 255).astype(np.uint8)


def crown(rng: np.random.Generator, trunk: float = 0.35, pixels: int = 192) -> Texture:
    """A tree in leaf, square: ragged blobs of leaves with holes, above a trunk of ``trunk`` of the height."""
    n = pixels
    leaf: Rgb = ((72, 96, 44), (88, 108, 50), (58, 84, 46), (120, 110, 50), (100, 118, 70))[int(rng.integers(5))]
    field = np.zeros((n, n), np.float32)
    for _ in range(int(rng.integers(16, 26))):
        angle, reach = rng.uniform(0, 2 * math.pi), rng.uniform(0, 1) ** 0.5
        x = n * (0.5 + 0.36 * reach * math.cos(angle))
        y = n * ((1 - trunk) / 2 + 0.02 + (1 - trunk) * 0.36 * reach * math.sin(angle))
        cv2.circle(field, (int(x), int(y)), int(n * rng.uniform(0.07, 0.13)), 1.0, -1)
    field = (
        cv2.GaussianBlur(field, (0, 0), n * 0.02) + 0.35 * mottle(rng, (n, n), 20, 3) + 0.22 * mottle(rng, (n, n), 5, 2)
    )
    alpha = (field > 0.42).astype(np.uint8) * 255
    leaves = mottle(rng, (n, n), 6, 3) + 0.35 * rng.standard_normal((n, n), np.float32)
    bright = 0.82 + 0.45 * mottle(rng, (n, n), 28, 3) + 0.3 * leaves + np.linspace(0.22, -0.3, n)[:, None]
    picture = np.clip(np.array(leaf, np.float32) * bright[..., None], 6, 255).astype(np.uint8)
    bark: Rgb = (74, 64, 54)
    for spread in (-0.16, 0.0, 0.14):
        fork = (int(n * (0.5 + spread)), int(n * (1 - trunk) * 0.55))
        cv2.line(alpha, (n // 2, int(n * (1 - 0.8 * trunk))), fork, 255, max(n // 64, 1))
    column = np.s_[int(n * (1 - trunk) * 0.85) :, int(n * 0.475) : int(n * 0.525)]
    alpha[column] = 255
    wood = (field <= 0.42) & (alpha > 0)
    picture[wood] = _shaded(rng, n, n, bark, 0.3)[wood]
    return Texture(picture, alpha)


def bare_tree(rng: np.random.Generator, pixels: int = 224) -> Texture:
    """A tree in winter, square: trunk, boughs and twigs, nothing else."""
    n = pixels
    alpha = np.zeros((n, n), np.uint8)

    def grow(x: float, y: float, angle: float, length: float, width: float) -> None:
        x1, y1 = x + length * math.cos(angle), y - length * math.sin(angle)
        cv2.line(alpha, (int(x), int(y)), (int(x1), int(y1)), 255, max(round(width), 1))
        if length < n * 0.022:
            return
        for _ in range(3 if length > n * 0.08 else 2):
            grow(x1, y1, angle + rng.normal(0, 0.48), length * rng.uniform(0.6, 0.84), width * 0.62)

    grow(n / 2, n - 1, math.pi / 2 + rng.normal(0, 0.05), n * 0.26, n * 0.036)
    tone: Rgb = ((84, 74, 64), (62, 56, 50), (96, 86, 70))[int(rng.integers(3))]
    return Texture(_shaded(rng, n, n, tone, 0.3), alpha)


def sign(rng: np.random.Generator) -> tuple[Texture, float]:
    """A traffic sign or street board, and its height as a multiple of its width."""
    n = 48
    picture = np.full((n, n, 3), 236, np.uint8)
    alpha = np.zeros((n, n), np.uint8)
    red, blue, black = (196, 24, 32), (24, 70, 160), (20, 20, 22)
    kind = int(rng.integers(6))
    centre = (n // 2, n // 2)
    if kind in (0, 1):
        cv2.circle(alpha, centre, n // 2 - 1, 255, -1)
        picture[:] = red if kind == 0 else blue
        if kind == 0:
            cv2.circle(picture, centre, n // 3, (238, 238, 236), -1)
            cv2.putText(picture, str(rng.choice(["30", "20", "40"])), (9, 32), cv2.FONT_HERSHEY_DUPLEX, 0.75, black, 2)
        else:
            cv2.arrowedLine(picture, (n // 2, n - 10), (n // 2, 9), (240, 240, 240), 5, tipLength=0.4)
        ratio = 1.0
    elif kind == 2:
        points = np.array([[n // 2, 1], [n - 1, n - 4], [0, n - 4]], np.int32)
        inner = np.array([[n // 2, 13], [n - 11, n - 9], [10, n - 9]], np.int32)
        cv2.fillConvexPoly(alpha, points, 255)
        picture[:] = red
        cv2.fillConvexPoly(picture, inner, (240, 238, 230))
        cv2.line(picture, (n // 2, 20), (n // 2, 34), black, 4)
        ratio = 0.9
    elif kind == 3:
        alpha[:] = 255
        picture[:] = blue
        cv2.rectangle(picture, (3, 3), (n - 4, n - 4), (235, 235, 235), 2)
        cv2.putText(picture, "P", (12, 37), cv2.FONT_HERSHEY_DUPLEX, 1.2, (240, 240, 240), 3)
        ratio = 1.0
    else:
        alpha[:] = 255
        picture[:] = ((240, 200, 30), (230, 230, 226), (20, 100, 60))[int(rng.integers(3))]
        ink = black if picture[0, 0, 0] > 100 else (235, 235, 230)
        cv2.rectangle(picture, (2, 2), (n - 3, n - 3), ink, 2)
        for y in range(10, n - 8, 9):
            cv2.line(picture, (8, y), (int(rng.uniform(0.5, 0.85) * n), y), ink, 3)
        ratio = float(rng.uniform(0.6, 1.5))
    return Texture(picture, alpha), ratio


def traffic_light(rng: np.random.Generator) -> Texture:
    """A traffic light's head, one lamp of it lit."""
    picture = np.full((54, 20, 3), (24, 26, 26), np.uint8)
    glow = np.zeros((54, 20), bool)
    on = int(rng.integers(3))
    for i, colour in enumerate(((255, 60, 40), (255, 180, 40), (60, 255, 150))):
        ink = colour if i == on else tuple(c // 6 for c in colour)
        cv2.circle(picture, (10, 10 + 17 * i), 6, ink, -1)
    glow[4 + 17 * on : 17 + 17 * on, 4:17] = True
    return Texture(picture, glow=glow)


def car_side(rng: np.random.Generator, paint: Rgb, profile: tuple[tuple[float, float], ...], glass: float) -> Texture:
    """A car from its left: outline, windows, door lines, wheels."""
    w, h = 256, 96
    outline = [(x * (w - 1), (1 - y) * (h - 1)) for x, y in profile]
    shape = np.array([*outline, (w - 1, h * 0.84), (0, h * 0.84)], np.float32).astype(np.int32)
    alpha = np.zeros((h, w), np.uint8)
    cv2.fillPoly(alpha, [shape], 255)
    picture = np.empty((h, w, 3), np.uint8)
    ramp = np.interp(np.linspace(0, 1, h), [0, 0.35, 0.5, 0.62, 0.9], [1.15, 1.1, 0.95, 1.05, 0.55])
    picture[:] = np.clip(np.array(paint, np.float32) * ramp[:, None, None], 0, 255).astype(np.uint8)
    greenhouse = np.zeros((h, w), np.uint8)
    cv2.fillPoly(greenhouse, [shape], 255)
    greenhouse = cv2.erode(greenhouse, np.ones((9, 15), np.uint8))
    greenhouse[int((1 - glass) * h) :] = 0
    for x in (0.36, 0.62):
        greenhouse[:, int(x * w) - 3 : int(x * w) + 3] = 0
    shine = np.linspace(1.5, 0.6, h)[:, None, None] * np.array((56, 64, 72), np.float32)
    picture[greenhouse > 0] = np.broadcast_to(np.clip(shine, 0, 255).astype(np.uint8), (h, w, 3))[greenhouse > 0]
    dark = tuple(int(0.45 * c) for c in paint)
    for x in (0.36, 0.62):
        cv2.line(picture, (int(x * w), int((1 - glass) * h)), (int(x * w), int(0.8 * h)), dark, 1)
    cv2.line(picture, (int(0.05 * w), int(0.62 * h)), (int(0.95 * w), int(0.62 * h)), dark, 1)
    for x in (0.2, 0.8):
        centre = (int(x * w), int(0.8 * h))
        cv2.circle(picture, centre, int(0.215 * h), (16, 16, 18), -1)
        cv2.circle(alpha, centre, int(0.195 * h), 255, -1)
        cv2.circle(picture, centre, int(0.12 * h), (150, 152, 156), -1)
        cv2.circle(picture, centre, int(0.05 * h), (60, 60, 64), -1)
    cv2.rectangle(picture, (0, int(0.5 * h)), (5, int(0.62 * h)), (170, 20, 20), -1)
    cv2.rectangle(picture, (w - 8, int(0.52 * h)), (w, int(0.62 * h)), (230, 230, 220), -1)
    return Texture(picture, alpha)


def car_glass(rng: np.random.Generator, paint: Rgb, rear: bool) -> Texture:
    """Windscreen or rear window between its pillars, with the sky mirrored in its upper part."""
    w, h = 96, 40
    picture = _shaded(rng, h, w, paint, 0.03)
    pane = np.zeros((h, w), np.uint8)
    shape = [(12, 4), (w - 13, 4), (w - 5, h - 3), (4, h - 3)]
    cv2.fillConvexPoly(pane, np.array(shape, np.int32), 255)
    tone = np.linspace(rng.uniform(0.9, 1.7), 0.6, h)[:, None, None] * np.array((52, 60, 68), np.float32)
    tone = np.clip(tone * (1 + 0.25 * mottle(rng, (h, w), 24, 2)[..., None]), 0, 255)
    picture[pane > 0] = tone.astype(np.uint8)[pane > 0]
    for x in (28, w - 29):
        seat = (x, h - 12) if rear else (x, h - 9)
        cv2.ellipse(picture, seat, (9, 9), 0, 180, 360, (30, 34, 38), -1)
        cv2.rectangle(picture, (x - 9, seat[1]), (x + 9, h - 4), (30, 34, 38), -1)
    return Texture(picture)


def car_end(rng: np.random.Generator, paint: Rgb, rear: bool, lit: bool) -> Texture:
    """The lower rear or front of a car, from bonnet height to the ground: lamps, plate, bumper, tyres."""
    w, h = 112, 64
    ramp = np.interp(np.linspace(0, 1, h), [0, 0.3, 0.6, 1], [1.1, 0.95, 0.8, 0.5])
    picture = np.empty((h, w, 3), np.uint8)
    picture[:] = np.clip(np.array(paint, np.float32) * ramp[:, None, None], 0, 255).astype(np.uint8)
    glow = np.zeros((h, w), bool)
    alpha = np.zeros((h, w), np.uint8)
    alpha[: int(0.74 * h)] = 255
    for x0 in (int(0.04 * w), int(0.82 * w)):
        cv2.rectangle(picture, (x0, int(0.6 * h)), (x0 + int(0.14 * w), h), (18, 18, 20), -1)
        alpha[int(0.6 * h) :, x0 : x0 + int(0.14 * w)] = 255
    alpha[:4, :3] = alpha[:4, -3:] = 0
    picture[int(0.56 * h) : int(0.62 * h), int(0.05 * w) : int(0.95 * w)] = [int(0.4 * c) for c in paint]
    picture[int(0.62 * h) : int(0.76 * h), int(0.18 * w) : int(0.82 * w)] = (30, 30, 32)
    if not rear:
        picture[int(0.2 * h) : int(0.42 * h), int(0.28 * w) : int(0.72 * w)] = (26, 26, 28)
    plate = (222, 190, 60) if rear else (230, 230, 226)
    picture[int(0.44 * h) : int(0.56 * h), int(0.37 * w) : int(0.63 * w)] = plate
    picture[int(0.47 * h) : int(0.53 * h) : 2, int(0.4 * w) : int(0.6 * w)] = (60, 56, 40)
    lamp: Rgb = ((255, 50, 40) if lit else (150, 20, 24)) if rear else ((255, 250, 225) if lit else (206, 210, 212))
    for x0 in (int(0.04 * w), int(0.78 * w)):
        box = np.s_[int(0.16 * h) : int(0.4 * h), x0 : x0 + int(0.18 * w)]
        picture[box] = lamp
        glow[box] = lit
    return Texture(picture, alpha, glow)


def torso(rng: np.random.Generator, coat: Rgb, skin: Rgb, helmet: bool = False) -> Texture:
    """Head and trunk of a person, three times as high as wide at the shoulders."""
    w, h = 48, 96
    picture = _shaded(rng, h, w, coat, 0.25)
    alpha = np.zeros((h, w), np.uint8)
    cv2.ellipse(alpha, (w // 2, 12), (8, 11), 0, 0, 360, 255, -1)
    alpha[20:30, w // 2 - 4 : w // 2 + 4] = 255
    shape = np.array([[13, 27], [35, 27], [44, 36], [39, 60], [40, 95], [8, 95], [9, 60], [4, 36]], np.int32)
    cv2.fillPoly(alpha, [shape], 255)
    picture[:27] = skin
    hair: Rgb = (
        (224, 224, 60) if helmet else ((40, 30, 24), (90, 66, 40), (30, 28, 28), (140, 130, 120))[int(rng.integers(4))]
    )
    picture[: 11 if rng.random() < 0.5 else 20] = hair
    if rng.random() < 0.35:
        bag = CLOTH[int(rng.integers(len(CLOTH)))]
        cv2.rectangle(picture, (13, 34), (35, 64), bag, -1)
    return Texture(picture, alpha)


def limb(rng: np.random.Generator, cloth: Rgb, end: Rgb) -> Texture:
    """An arm or leg: cloth, and a hand or shoe at its end."""
    w, h = 14, 64
    picture = _shaded(rng, h, w, cloth, 0.25)
    picture[-8:] = end
    alpha = np.zeros((h, w), np.uint8)
    cv2.fillPoly(alpha, [np.array([[1, 0], [12, 0], [11, 63], [3, 63]], np.int32)], 255)
    return Texture(picture, alpha)


def bicycle(rng: np.random.Generator) -> Texture:
    """A bicycle from its side, 1.75 m × 1.05 m, riding to the right."""
    w, h = 175, 105
    paint = CAR_PAINT[int(rng.integers(len(CAR_PAINT)))]
    picture = np.full((h, w, 3), (22, 22, 24), np.uint8)
    alpha = np.zeros((h, w), np.uint8)
    rear, front, pedal = (34, 70), (140, 70), (80, 76)
    saddle, head = (66, 20), (124, 18)
    for hub in (rear, front):
        cv2.circle(alpha, hub, 32, 255, 4)
        for k in range(6):
            a = k * math.pi / 6
            end = (round(32 * math.cos(a)), round(32 * math.sin(a)))
            cv2.line(alpha, (hub[0] - end[0], hub[1] - end[1]), (hub[0] + end[0], hub[1] + end[1]), 255, 1)
    for p, q in ((rear, pedal), (rear, saddle), (pedal, saddle), (pedal, head), (saddle, head), (head, front)):
        cv2.line(alpha, p, q, 255, 4)
        cv2.line(picture, p, q, paint, 4)
    cv2.line(alpha, (saddle[0] - 9, 16), (saddle[0] + 9, 16), 255, 5)
    cv2.line(alpha, (head[0] - 2, 6), (head[0] + 10, 4), 255, 4)
    cv2.line(alpha, head, (head[0] - 2, 6), 255, 4)
    return Texture(picture, alpha)
