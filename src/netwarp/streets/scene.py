"""Builds the street of a clip from its seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from netwarp.streets.blocks import Blocks
from netwarp.streets.builder import Builder
from netwarp.streets.camera import Drive, draw_drive
from netwarp.streets.ground_light import LightMap
from netwarp.streets.paint_ground import skyline
from netwarp.streets.plan import BLOCK, draw_plan, draw_stock
from netwarp.streets.surfaces import FAR, Scene
from netwarp.streets.traffic import Traffic
from netwarp.streets.weather import Weather, draw_weather


@dataclass(frozen=True)
class Street:
    """A built street: what is in it, its weather, and the drive through it."""

    scene: Scene
    weather: Weather
    drive: Drive


def build_street(seed: int, seconds: float, weather: str | None = None) -> Street:
    """Build the street of a clip."""
    rng = np.random.default_rng([seed, 0])
    sky = draw_weather(rng, weather)
    plan = draw_plan(rng)
    drive = draw_drive(rng, plan.lane)
    scene = Scene()
    builder = Builder(scene, sky)
    stock = draw_stock(rng, plan, sky)
    labels = (builder.label("sky"), builder.label("building"), builder.label("tree"))
    scene.sky, scene.sky_labels = skyline(rng, sky, scene.sky_extent, labels)

    end = drive.along(seconds) + FAR + BLOCK
    shade = LightMap(sky, plan.half + plan.pavement, -BLOCK, end)
    blocks = Blocks(builder, plan, stock, shade)
    blocks.ground(rng)
    for index in range(-1, math.ceil(end / BLOCK)):
        builder.begin_stretch(2 * index + 2)
        blocks.block(np.random.default_rng([seed, 1, index + 1]), index)
    shade.put_into(scene)
    traffic = Traffic(builder, plan, stock, drive, end)
    builder.begin_stretch(1)
    traffic.car_ahead(np.random.default_rng([seed, 2]))
    for index in range(math.ceil((end + plan.oncoming * seconds) / BLOCK)):
        builder.begin_stretch(2 * index + 3)
        traffic.passers_by(np.random.default_rng([seed, 3, index]), index)
    return Street(scene, sky, drive)
