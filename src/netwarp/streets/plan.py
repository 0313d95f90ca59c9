"""What a street is like as a whole: its measures, and the pictures that its things are painted with."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from netwarp.streets import paint_buildings as walls
from netwarp.streets import paint_things as things
from netwarp.streets.actors import CarModel, Outfit, draw_car, draw_outfit
from netwarp.streets.textures import Texture
from netwarp.streets.weather import Weather

BLOCK = 24.0
"""Length of a block, metres. Every block has a random generator of its own: what stands there does not depend on
how long the clip is."""

KERB = 0.12
"""Height of the pavement above the road, metres."""


@dataclass(frozen=True)
class Plan:
    """What is the same all along a street; lengths in metres."""

    half: float  # half the road's width
    pavement: float  # width of each pavement
    parking: bool  # whether cars are parked along the kerbs
    side: int  # -1 where one drives on the left, 1 on the right
    lane: float  # x of the middle of the camera's lane; that of oncoming cars is its negative
    built: float  # share of lots with a house right at the pavement
    leafy: bool  # whether trees bear leaves
    railings: float  # odds of railings along the kerb, for each block and side
    crowd: float  # factor on the numbers of pedestrians and cyclists
    oncoming: float  # speed of oncoming cars, m/s


@dataclass(frozen=True)
class Stock:
    """Pictures painted once for a street and used many times."""

    fronts: list[tuple[tuple[float, float], Texture]]
    gable: Texture
    peak: Texture
    roof: Texture
    trees: list[Texture]
    hedge: Texture
    boundaries: list[tuple[float, Texture]]
    signs: list[tuple[Texture, float]]
    signal: Texture
    steel: Texture
    lamp: Texture
    kerb: Texture
    asphalt: Texture
    cars: list[CarModel]
    people: list[Outfit]


def draw_plan(rng: np.random.Generator) -> Plan:
    """Draw what is the same all along a street."""
    parking = bool(rng.random() < 0.45)
    side = -1 if rng.random() < 0.6 else 1
    lane_width = rng.uniform(2.8, 3.4)
    return Plan(
        half=float(lane_width + (2.0 if parking else 0.3)),
        pavement=float(rng.uniform(2.2, 4.2)),
        parking=parking,
        side=side,
        lane=float(side * lane_width / 2),
        built=float(rng.choice([0.9, 0.68, 0.42])),
        leafy=bool(rng.random() < 0.55),
        railings=float(rng.choice([0.1, 0.35])),
        crowd=float(rng.uniform(0.8, 2.2)),
        oncoming=float(rng.uniform(4.0, 11.0)),
    )


def draw_stock(rng: np.random.Generator, plan: Plan, weather: Weather) -> Stock:
    """Paint the pictures of a street."""
    fronts = []
    for _ in range(8):
        size = (float(rng.uniform(5.5, 11.0)), float(rng.choice([6.2, 6.8, 8.6, 9.4, 11.5])))
        fronts.append((size, walls.facade(rng, size, weather)))
    trees = [
        things.crown(rng, float(rng.uniform(0.22, 0.4))) if plan.leafy or i == 0 else things.bare_tree(rng)
        for i in range(4)
    ]
    boundaries = []
    for i in range(4):
        height = float(rng.uniform(1.0, 1.9))
        picture = walls.railing(rng, 4.0, height) if i % 2 else walls.wall(rng, (4.0, height), 24.0)
        boundaries.append((height, picture))
    gable = walls.wall(rng, (8.0, 8.0))
    peak = np.zeros((gable.height, gable.width), np.uint8)
    corners = [(gable.width // 2, 0), (gable.width, gable.height), (0, gable.height)]
    cv2.fillConvexPoly(peak, np.array(corners, np.int32), 255)
    leaves = things.crown(rng, 0.0, 96)
    glow = np.ones((8, 16), bool) if weather.lit > 0.2 else None
    lamp = np.full((8, 16, 3), (255, 232, 180) if glow is not None else (170, 172, 176), np.uint8)
    grey = int(rng.integers(50, 150))
    return Stock(
        fronts=fronts, gable=gable, peak=gable.cut(peak), roof=walls.roof(rng), trees=trees, hedge=leaves,
        boundaries=boundaries, signs=[things.sign(rng) for _ in range(6)], signal=things.traffic_light(rng),
        steel=walls.plain(rng, (grey, grey, grey + 4), (64, 8)), lamp=Texture(lamp, glow=glow),
        kerb=walls.plain(rng, (168, 164, 158), (8, 256)), asphalt=walls.plain(rng, (96, 96, 98), (128, 128), 0.09),
        cars=[draw_car(rng, weather.lit > 0.2) for _ in range(6)], people=[draw_outfit(rng) for _ in range(6)],
    )  # fmt: skip
