"""Lays out a street by seed: blocks of houses, gardens and side streets, furniture, and traffic."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import cv2
import numpy as np

from netwarp.data.streets import paint_buildings as walls
from netwarp.data.streets import paint_things as things
from netwarp.data.streets.actors import CarModel, add_car, add_cyclist, add_pedestrian, draw_car, still
from netwarp.data.streets.builder import Builder
from netwarp.data.streets.camera import Drive, draw_drive, rotation
from netwarp.data.streets.surfaces import FAR, Scene
from netwarp.data.streets.textures import Texture
from netwarp.data.streets.weather import Weather, draw_weather

__all__ = ["Street", "build_street"]

BLOCK = 24.0
"""Length of a block, metres. Every block has a random generator of its own: what stands there does not depend on
how long the clip is."""

KERB = 0.12
"""Height of the pavement above the road, metres."""

_LIGHT_SCALE = 6


@dataclass(frozen=True)
class Street:
    """A built street: what is in it, its weather, and the drive through it."""

    scene: Scene
    weather: Weather
    drive: Drive


@dataclass(frozen=True)
class _Plan:
    """What is the same all along a street; lengths in metres."""

    half: float
    pavement: float
    parking: bool
    side: int
    lane: float
    built: float
    leafy: bool
    railings: float
    crowd: float
    oncoming: float


@dataclass(frozen=True)
class _Stock:
    """Pictures painted once for a street and used many times."""

    fronts: list[tuple[tuple[float, float], Texture]]
    gable: Texture
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


def _draw_plan(rng: np.random.Generator) -> _Plan:
    parking = bool(rng.random() < 0.55)
    side = -1 if rng.random() < 0.6 else 1
    lane_width = rng.uniform(3.0, 3.7)
    return _Plan(
        half=float(lane_width + (2.1 if parking else 0.3)),
        pavement=float(rng.uniform(2.0, 3.6)),
        parking=parking,
        side=side,
        lane=float(side * lane_width / 2),
        built=float(rng.choice([0.85, 0.6, 0.35])),
        leafy=bool(rng.random() < 0.55),
        railings=float(rng.choice([0.1, 0.35])),
        crowd=float(rng.uniform(0.5, 1.6)),
        oncoming=float(rng.uniform(4.0, 11.0)),
    )


def _draw_stock(rng: np.random.Generator, plan: _Plan, weather: Weather) -> _Stock:
    fronts = []
    for _ in range(9):
        size = (float(rng.uniform(5.5, 11.0)), float(rng.choice([6.2, 6.8, 8.6, 9.4, 11.5])))
        fronts.append((size, walls.facade(rng, size, weather)))
    trees = [
        things.crown(rng, float(rng.uniform(0.22, 0.4))) if plan.leafy or i == 0 else things.bare_tree(rng)
        for i in range(5)
    ]
    boundaries = []
    for i in range(4):
        height = float(rng.uniform(1.0, 1.9))
        picture = walls.railing(rng, 4.0, height) if i % 2 else walls.wall(rng, (4.0, height), 24.0)
        boundaries.append((height, picture))
    leaves = things.crown(rng, 0.0, 96)
    glow = np.ones((8, 16), bool) if weather.lit > 0.2 else None
    lamp = np.full((8, 16, 3), (255, 232, 180) if glow is not None else (170, 172, 176), np.uint8)
    grey = int(rng.integers(50, 150))
    return _Stock(
        fronts=fronts, gable=walls.wall(rng, (8.0, 8.0)), roof=walls.roof(rng), trees=trees, hedge=leaves,
        boundaries=boundaries, signs=[things.sign(rng) for _ in range(7)], signal=things.traffic_light(rng),
        steel=walls.plain(rng, (grey, grey, grey + 4), (64, 8)), lamp=Texture(lamp, glow=glow),
        kerb=walls.plain(rng, (168, 164, 158), (8, 256)), asphalt=walls.plain(rng, (96, 96, 98), (128, 128), 0.09),
        cars=[draw_car(rng, weather.lit > 0.2) for _ in range(7)],
    )  # fmt: skip


def build_street(seed: int, seconds: float, weather: str | None = None) -> Street:
    """Build the street of a clip.

    Args:
        seed: Names the street.
        seconds: How long the drive lasts: the street is built as far as it can be seen by then.
        weather: One of :data:`~netwarp.data.streets.WEATHERS`, or None to let the seed decide.
    """
    rng = np.random.default_rng([seed, 0])
    sky = draw_weather(rng, weather)
    plan = _draw_plan(rng)
    drive = draw_drive(rng, plan.lane)
    scene = Scene()
    builder = Builder(scene, sky)
    stock = _draw_stock(rng, plan, sky)
    scene.sky_extent = (-2.6, -1.4, 2.6, 0.08)
    labels = (builder.label("sky"), builder.label("building"), builder.label("tree"))
    scene.sky, scene.sky_labels = walls.skyline(rng, sky, scene.sky_extent, labels)

    end = drive.along(seconds) + FAR + BLOCK
    layout = _Layout(builder, plan, stock, end)
    layout.ground(rng)
    for index in range(-1, math.ceil(end / BLOCK)):
        layout.block(np.random.default_rng([seed, 1, index + 1]), index)
    layout.traffic(np.random.default_rng([seed, 2]), drive)
    reach = end + plan.oncoming * seconds
    for index in range(math.ceil(reach / BLOCK)):
        layout.passers_by(np.random.default_rng([seed, 3, index]), index, drive)
    layout.finish()
    return Street(scene, sky, drive)


class _Layout:
    """Places things along a street, and the shade that they throw on the ground."""

    def __init__(self, builder: Builder, plan: _Plan, stock: _Stock, end: float) -> None:
        self.builder, self.plan, self.stock, self.end = builder, plan, stock, end
        self.edge = plan.half + plan.pavement
        self.start = -BLOCK
        shape = (math.ceil((end - self.start) * _LIGHT_SCALE), math.ceil(2 * self.edge * _LIGHT_SCALE))
        self.cast = np.zeros(shape, np.uint8)
        self.contact = np.zeros(shape, np.uint8)

    def ground(self, rng: np.random.Generator) -> None:
        """Road, kerbs, pavements, and the land behind them."""
        plan, add, label = self.plan, self.builder.add, self.builder.label
        length, half = 4000.0, plan.half
        lanes = (0.0,) if rng.random() < 0.85 else ()
        picture = walls.road(rng, half, lanes)
        ground = self.builder.scene.ground
        up = (0.0, -1.0, 0.0)
        ground.append(add((-half, 0, -BLOCK), (2 * half, 0, 0), (0, 0, length), picture, label("road"),
                          tile=(2 * half, 32.0), normal=up))  # fmt: skip
        flags = walls.pavement(rng, plan.pavement)
        land = walls.plain(rng, (92, 108, 58), (256, 256), 0.12)
        for side in (-1, 1):
            left = half if side > 0 else -self.edge
            ground.append(add((left, -KERB, -BLOCK), (plan.pavement, 0, 0), (0, 0, length), flags,
                              label("pavement"), tile=(plan.pavement, 8.0), normal=up))  # fmt: skip
            add((side * half, -KERB, -BLOCK), (0, 0, length), (0, KERB, 0), self.stock.kerb, label("pavement"),
                tile=(8.0, KERB), normal=(-side, 0, 0))  # fmt: skip
            left = self.edge if side > 0 else -self.edge - 60
            add((left, -KERB, -BLOCK), (60, 0, 0), (0, 0, length), land, label("tree"), tile=(8.0, 8.0), normal=up)

    def block(self, rng: np.random.Generator, index: int) -> None:
        """Lots and furniture on both sides of one block."""
        start = index * BLOCK
        for side in (-1, 1):
            z = start
            crossing = rng.random() < 0.16
            if crossing:
                self._side_street(rng, side, z)
                z += 9.0
            while z < start + BLOCK - 1:
                width = start + BLOCK - z
                if width > 12:
                    width = float(rng.uniform(6.0, min(11.0, width - 5.0)))
                self._lot(rng, side, z, width)
                z += width
            self._furniture(rng, side, start)

    def _side_street(self, rng: np.random.Generator, side: int, z: float) -> None:
        add, label, edge = self.builder.add, self.builder.label, self.plan.half
        left = edge if side > 0 else -edge - 45
        add((left, -KERB - 0.01, z + 1), (45, 0, 0), (0, 0, 7.5), self.stock.asphalt, label("road"),
            tile=(4.0, 4.0), normal=(0, -1, 0))  # fmt: skip
        x = side * (edge + 0.5)
        self._pole(x, z + 0.3, 3.4, 0.12)
        add((x - 0.18, -3.3, z + 0.2), (0.36, 0, 0), (0, 0.95, 0), self.stock.signal, label("sign"))
        size, picture = self.stock.fronts[int(rng.integers(len(self.stock.fronts)))]
        far = side * (self.edge + 32)
        add((far - size[0], -size[1], z + 8.4), (2 * size[0], 0, 0), (0, size[1], 0), picture, label("building"))

    def _lot(self, rng: np.random.Generator, side: int, z: float, width: float) -> None:
        drawn = rng.random()
        if drawn < self.plan.built:
            self._house(rng, side, z, width, setback=0.0 if rng.random() < 0.7 else float(rng.uniform(0.3, 2.0)))
            return
        if drawn < self.plan.built + 0.35 * (1 - self.plan.built):
            self._house(rng, side, z + 0.5, width - 1.0, setback=float(rng.uniform(4.0, 9.0)))
        self._boundary(rng, side, z, width)
        for _ in range(int(rng.integers(1, 4))):
            x = side * (self.edge + rng.uniform(1.0, 6.0))
            self._tree(rng, float(x), float(z + rng.uniform(0.1, 0.9) * width), float(rng.uniform(4.5, 9.5)))

    def _house(self, rng: np.random.Generator, side: int, z: float, width: float, setback: float) -> None:
        add, label = self.builder.add, self.builder.label("building")
        (_, height), picture = self.stock.fronts[int(rng.integers(len(self.stock.fronts)))]
        x, depth = side * (self.edge + setback), 9.0
        if side > 0:
            add((x, -height, z + width), (0, 0, -width), (0, height, 0), picture, label, one_sided=True)
        else:
            add((x, -height, z), (0, 0, width), (0, height, 0), picture, label, one_sided=True)
        left = x if side > 0 else x - depth
        add((left, -height, z), (depth, 0, 0), (0, height, 0), self.stock.gable, label, one_sided=True)
        rise = float(rng.uniform(1.8, 3.2))
        if rng.random() < 0.65:
            if side > 0:
                add((x + 4, -height - rise, z + width), (0, 0, -width), (-4.2, rise + 0.15, 0), self.stock.roof, label)
            else:
                add((x - 4, -height - rise, z), (0, 0, width), (4.2, rise + 0.15, 0), self.stock.roof, label)
        else:
            rise = 0.0
        self._cast_wall(side, x, z, width, height + 0.5 * rise)

    def _boundary(self, rng: np.random.Generator, side: int, z: float, width: float) -> None:
        """A fence, a wall or a hedge along the pavement."""
        x, add = side * self.edge, self.builder.add
        at, along = ((z + width, -width), (z, width))[side < 0]
        if rng.random() < 0.25:
            height = float(rng.uniform(1.2, 2.2))
            for shift in (0.0, 0.35):
                for piece in range(2):
                    start = at + piece * along / 2
                    add((x + side * shift, -KERB - height, start), (0, 0, along / 2), (0, height * 1.25, 0),
                        self.stock.hedge, self.builder.label("tree"))  # fmt: skip
        else:
            height, picture = self.stock.boundaries[int(rng.integers(len(self.stock.boundaries)))]
            add((x, -KERB - height, at), (0, 0, along), (0, height, 0), picture, self.builder.label("fence"),
                tile=None)  # fmt: skip
        self._cast_wall(side, x, z, width, 1.5)

    def _tree(self, rng: np.random.Generator, x: float, z: float, height: float) -> None:
        """Two pictures of a tree that stand across each other."""
        label, add = self.builder.label("tree"), self.builder.add
        first, second = rng.integers(len(self.stock.trees), size=2)
        spread = height * float(rng.uniform(0.8, 1.1)) / 2
        lean = float(rng.uniform(-0.5, 0.5)) * spread
        tall = (0.0, height, 0.0)
        light = (0.0, -0.8, -0.6)
        add(
            (x - spread, -height, z - lean),
            (2 * spread, 0, 2 * lean),
            tall,
            self.stock.trees[first],
            label,
            normal=light,
        )
        add(
            (x + lean, -height, z - spread),
            (-2 * lean, 0, 2 * spread),
            tall,
            self.stock.trees[second],
            label,
            normal=light,
        )
        for _ in range(10):
            high = height * float(rng.uniform(0.4, 0.95))
            self._cast_spot(x + rng.normal(0, 0.4) * spread, z + rng.normal(0, 0.4) * spread, high, 0.16 * spread)

    def _pole(self, x: float, z: float, height: float, width: float) -> None:
        self.builder.add((x - width / 2, -height, z), (width, 0, 0), (0, height, 0), self.stock.steel,
                         self.builder.label("pole"))  # fmt: skip
        for high in np.arange(0, height, 0.3):
            self._cast_spot(x, z, float(high), width)

    def _furniture(self, rng: np.random.Generator, side: int, start: float) -> None:
        plan, add, label = self.plan, self.builder.add, self.builder.label
        near_kerb = side * (plan.half + 0.45)
        if rng.random() < 0.75:
            z, height = start + float(rng.uniform(0, BLOCK)), float(rng.uniform(5.5, 8.0))
            self._pole(near_kerb, z, height, 0.15)
            arm = -side * float(rng.uniform(0.9, 1.8))
            left, reach = min(near_kerb, near_kerb + arm), abs(arm)
            add((left, -height, z), (reach, 0, 0), (0, 0.09, 0), self.stock.steel, label("pole"))
            head = near_kerb + arm
            add((head - 0.32, -height - 0.06, z - 0.02), (0.64, 0, 0), (0, 0.17, 0), self.stock.lamp, label("pole"))
        for _ in range(int(rng.integers(1, 4))):
            z, height = start + float(rng.uniform(0, BLOCK)), float(rng.uniform(2.3, 3.1))
            x = near_kerb + side * float(rng.uniform(-0.1, 0.4))
            self._pole(x, z, height, 0.08)
            picture, ratio = self.stock.signs[int(rng.integers(len(self.stock.signs)))]
            wide = float(rng.uniform(0.55, 0.85))
            add((x - wide / 2, -height, z - 0.03), (wide, 0, 0), (0, wide * ratio, 0), picture, label("sign"))
        if rng.random() < 0.4:
            for z in np.arange(0, float(rng.uniform(4, BLOCK)), 2.0):
                self._pole(near_kerb, start + float(z), 0.95, 0.11)
        if rng.random() < plan.railings:
            _, picture = self.stock.boundaries[1]
            long = float(rng.uniform(6, 14))
            for z in np.arange(0, long, 4.0):
                add((side * (plan.half + 0.25), -1.1, start + 6 + float(z)), (0, 0, 4.0), (0, 1.0, 0), picture,
                    label("fence"))  # fmt: skip
        if rng.random() < 0.25 * plan.pavement:
            height = float(rng.uniform(4.5, 7.0))
            self._tree(rng, near_kerb + side * 0.5, start + float(rng.uniform(0, BLOCK)), height)
        if plan.parking:
            z = start + float(rng.uniform(0, 4))
            while z < start + BLOCK - 5:
                if rng.random() < 0.55:
                    model = self.stock.cars[int(rng.integers(len(self.stock.cars)))]
                    yaw = (0.0 if side == plan.side else math.pi) + float(rng.normal(0, 0.02))
                    x = side * (plan.half - 0.2 - model.size[0] / 2)
                    add_car(self.builder, model, still(x, z + 2.5, yaw), moving=False)
                    self._contact(x, z + 2.5, model.size[0] + 0.3, model.size[2] + 0.3)
                z += float(rng.uniform(5.4, 7.0))

    def traffic(self, rng: np.random.Generator, drive: Drive) -> None:
        """The car ahead, which keeps its distance."""
        if rng.random() < 0.55:
            model = self.stock.cars[int(rng.integers(len(self.stock.cars)))]
            gap, swing, phase = rng.uniform(11, 28), rng.uniform(0.5, 3.0), rng.uniform(0, 6)

            def ahead(time: float) -> tuple[np.ndarray, np.ndarray]:
                z = drive.along(time) + gap + swing * math.sin(0.4 * time + phase)
                x = self.plan.lane + 0.15 * math.sin(0.5 * time + phase)
                return rotation(0.01 * math.cos(0.5 * time + phase)), np.array([x, 0.0, z])

            add_car(self.builder, model, ahead, moving=True)

    def passers_by(self, rng: np.random.Generator, index: int, drive: Drive) -> None:
        """Oncoming cars, pedestrians and cyclists that start in one block."""
        plan, start = self.plan, index * BLOCK
        z0 = start + float(rng.uniform(4, BLOCK - 4))
        if rng.random() < 0.45:
            model = self.stock.cars[int(rng.integers(len(self.stock.cars)))]
            swing, phase = float(rng.uniform(0, 1.5)), float(rng.uniform(0, 6))
            lane, speed, turned = -plan.lane, plan.oncoming, rotation(math.pi)

            def oncoming(time: float) -> tuple[np.ndarray, np.ndarray]:
                z = z0 - speed * time + swing * math.sin(0.6 * time + phase)
                return turned, np.array([lane, 0.0, z])

            add_car(self.builder, model, oncoming, moving=True)
        if start > self.end:
            return
        for _ in range(int(rng.poisson(1.8 * plan.crowd))):
            side = int(rng.choice([-1, 1]))
            x = side * (plan.half + float(rng.uniform(0.7, plan.pavement - 0.3)))
            z, speed = start + float(rng.uniform(0, BLOCK)), float(rng.uniform(0.9, 1.6)) * int(rng.choice([-1, 1]))
            if rng.random() < 0.15:
                speed = 0.0

            def stroll(time: float, x: float = x, z: float = z, speed: float = speed) -> tuple[float, float, float]:
                return x, z + speed * time, speed * time

            add_pedestrian(self.builder, rng, stroll, sideways=False, ground=KERB)
        if rng.random() < 0.22 * plan.crowd and start > BLOCK:
            self._crossing(rng, start + float(rng.uniform(0, BLOCK)), drive)
        for side in (plan.side, -plan.side):
            if rng.random() < 0.22 * plan.crowd and (side != plan.side or start >= 0.5 * BLOCK):
                x = side * (plan.half - (2.1 if plan.parking else 0.0) - float(rng.uniform(0.45, 0.65)))
                along = 1 if side == plan.side else -1
                z, speed = start + float(rng.uniform(0, BLOCK)), along * float(rng.uniform(3.0, 5.0))

                def ride(time: float, x: float = x, z: float = z, speed: float = speed) -> tuple[float, float, float]:
                    return x + 0.1 * math.sin(0.7 * time + z), z + speed * time, speed * time

                add_cyclist(self.builder, rng, ride, yaw=0.0 if along > 0 else math.pi)

    def _crossing(self, rng: np.random.Generator, z: float, drive: Drive) -> None:
        """Somebody who crosses the street well before the camera gets there."""
        arrival = next(t for t in itertools.count(0.0, 0.25) if drive.along(t) > z - 9)
        pace = float(rng.uniform(1.1, 1.7)) * int(rng.choice([-1, 1]))
        through = max(arrival - float(rng.uniform(2.5, 6.0)), -3.0)
        limit, lane = self.plan.half + 0.8, self.plan.lane

        def cross(time: float) -> tuple[float, float, float]:
            x = min(max(lane + pace * (time - through), -limit), limit)
            return x, z, x * math.copysign(1.0, pace)

        if rng.random() < 0.75:
            add_pedestrian(self.builder, rng, cross, sideways=True, ground=0.02)
        else:
            add_cyclist(self.builder, rng, cross, yaw=math.copysign(math.pi / 2, pace))

    def _point(self, x: float, z: float, high: float) -> tuple[float, float]:
        """Where the shade of a point at a height falls, in pixels of the light map."""
        sun = self.builder.weather.sun_from
        x, z = x + sun[0] / sun[1] * high, z + sun[2] / sun[1] * high
        return (x + self.edge) * _LIGHT_SCALE, (z - self.start) * _LIGHT_SCALE

    def _cast_wall(self, side: int, x: float, z: float, width: float, height: float) -> None:
        foot = [self._point(x, z, 0), self._point(x, z + width, 0)]
        top = [self._point(x, z + width, height), self._point(x, z, height)]
        cv2.fillConvexPoly(self.cast, np.array(foot + top).round().astype(np.int32), 255)

    def _cast_spot(self, x: float, z: float, high: float, radius: float) -> None:
        px, pz = self._point(x, z, high)
        cv2.circle(self.cast, (round(px), round(pz)), max(round(radius * _LIGHT_SCALE), 1), 255, -1)

    def _contact(self, x: float, z: float, width: float, length: float) -> None:
        (px, pz), s = self._point(x, z, 0), _LIGHT_SCALE
        low = (round(px - width * s / 2), round(pz - length * s / 2))
        high = (round(px + width * s / 2), round(pz + length * s / 2))
        cv2.rectangle(self.contact, low, high, 255, -1)

    def finish(self) -> None:
        """Turn the shade that was collected into light on the ground."""
        scene, dark = self.builder.scene, self.builder.weather.shadow
        cast = cv2.GaussianBlur(self.cast, (3, 3), 0).astype(np.float32) / 255
        contact = cv2.GaussianBlur(self.contact, (9, 9), 0).astype(np.float32) / 255
        light = 255 * (1 - dark * cast) * (1 - 0.62 * contact)
        scene.light = light.astype(np.uint8)
        height, width = light.shape
        scene.light_extent = (
            -self.edge, self.start, -self.edge + width / _LIGHT_SCALE, self.start + height / _LIGHT_SCALE,
        )  # fmt: skip
