"""Builds what stands still in a street, block by block."""

from __future__ import annotations

import math

import numpy as np

from netwarp.streets import paint_buildings as walls
from netwarp.streets import paint_ground
from netwarp.streets.actors import add_car, still
from netwarp.streets.builder import Builder
from netwarp.streets.ground_light import LightMap
from netwarp.streets.plan import BLOCK, KERB, Plan, Stock


class Blocks:
    """Builds what stands still: ground, houses, gardens, side streets, furniture and parked cars, block by block."""

    def __init__(self, builder: Builder, plan: Plan, stock: Stock, shade: LightMap) -> None:
        self.builder, self.plan, self.stock, self.shade = builder, plan, stock, shade
        self.edge = plan.half + plan.pavement

    def ground(self, rng: np.random.Generator) -> None:
        """Road, kerbs, pavements, and the land behind them."""
        plan, add, label = self.plan, self.builder.add, self.builder.label
        length, half = 4000.0, plan.half
        lanes = (0.0,) if rng.random() < 0.85 else ()
        picture = paint_ground.road(rng, half, lanes)
        ground = self.builder.scene.ground
        up = (0.0, -1.0, 0.0)
        ground.append(add((-half, 0, -BLOCK), (2 * half, 0, 0), (0, 0, length), picture, label("road"),
                          tile=(2 * half, 32.0), normal=up))  # fmt: skip
        flags = paint_ground.pavement(rng, plan.pavement)
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
            ridge = x + side * depth / 2
            down = (-side * (depth / 2 + 0.3), rise + 0.2, 0.0)
            if side > 0:
                add((ridge, -height - rise, z + width), (0, 0, -width), down, self.stock.roof, label)
            else:
                add((ridge, -height - rise, z), (0, 0, width), down, self.stock.roof, label)
            add((left, -height - rise, z + 0.05), (depth, 0, 0), (0, rise + 0.05, 0), self.stock.peak, label)
        else:
            rise = 0.0
        self.shade.wall(x, z, width, height + 0.5 * rise)

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
        self.shade.wall(x, z, width, 1.5)

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
            self.shade.spot(x + rng.normal(0, 0.4) * spread, z + rng.normal(0, 0.4) * spread, high, 0.16 * spread)

    def _pole(self, x: float, z: float, height: float, width: float) -> None:
        self.builder.add((x - width / 2, -height, z), (width, 0, 0), (0, height, 0), self.stock.steel,
                         self.builder.label("pole"))  # fmt: skip
        for high in np.arange(0, height, 0.3):
            self.shade.spot(x, z, float(high), width)

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
        if rng.random() < 0.12 * plan.pavement:
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
                    self.shade.footprint(x, z + 2.5, model.size[0] + 0.3, model.size[2] + 0.3)
                z += float(rng.uniform(5.4, 7.0))
