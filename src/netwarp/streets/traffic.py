"""Sets the street in motion: cars, pedestrians, cyclists."""

from __future__ import annotations

import itertools
import math

import numpy as np

from netwarp.streets.actors import Outfit, Path, add_car, add_cyclist, add_pedestrian
from netwarp.streets.builder import Builder
from netwarp.streets.camera import Drive, Matrix, rotation
from netwarp.streets.plan import BLOCK, KERB, Plan, Stock


class Traffic:
    """Adds what moves, by where it is at time 0."""

    def __init__(self, builder: Builder, plan: Plan, stock: Stock, drive: Drive, end: float) -> None:
        self.builder, self.plan, self.stock, self.drive, self.end = builder, plan, stock, drive, end

    def car_ahead(self, rng: np.random.Generator) -> None:
        """The car ahead, which keeps its distance."""
        if rng.random() < 0.55:
            model = self.stock.cars[int(rng.integers(len(self.stock.cars)))]
            gap, swing, phase = rng.uniform(11, 28), rng.uniform(0.5, 3.0), rng.uniform(0, 6)

            def ahead(time: float) -> tuple[Matrix, Matrix]:
                z = self.drive.along(time) + gap + swing * math.sin(0.4 * time + phase)
                x = self.plan.lane + 0.15 * math.sin(0.5 * time + phase)
                return rotation(0.01 * math.cos(0.5 * time + phase)), np.array([x, 0.0, z])

            add_car(self.builder, model, ahead, moving=True)

    def passers_by(self, rng: np.random.Generator, index: int) -> None:
        """Oncoming cars, pedestrians and cyclists that start in one block."""
        plan, start = self.plan, index * BLOCK
        z0 = start + float(rng.uniform(4, BLOCK - 4))
        if rng.random() < 0.45:
            model = self.stock.cars[int(rng.integers(len(self.stock.cars)))]
            swing, phase = float(rng.uniform(0, 1.5)), float(rng.uniform(0, 6))
            lane, speed, turned = -plan.lane, plan.oncoming, rotation(math.pi)

            def oncoming(time: float) -> tuple[Matrix, Matrix]:
                z = z0 - speed * time + swing * math.sin(0.6 * time + phase)
                return turned, np.array([lane, 0.0, z])

            add_car(self.builder, model, oncoming, moving=True)
        if start > self.end:
            return  # too far for those who walk or ride
        for _ in range(int(rng.poisson(2.2 * plan.crowd))):
            side = int(rng.choice([-1, 1]))
            x = side * (plan.half + float(rng.uniform(0.7, plan.pavement - 0.3)))
            z, speed = start + float(rng.uniform(0, BLOCK)), float(rng.uniform(0.9, 1.6)) * int(rng.choice([-1, 1]))
            if rng.random() < 0.15:
                speed = 0.0

            def stroll(time: float, x: float = x, z: float = z, speed: float = speed) -> tuple[float, float, float]:
                return x, z + speed * time, speed * time

            self._pedestrian(rng, stroll, sideways=False, ground=KERB)
        if rng.random() < 0.25 * plan.crowd and start > BLOCK:
            self._crossing(rng, start + float(rng.uniform(0, BLOCK)))
        for side in (plan.side, -plan.side):
            if rng.random() < 0.6 * plan.crowd and (side != plan.side or start >= 0.5 * BLOCK):
                x = side * (plan.half - (2.1 if plan.parking else 0.0) - float(rng.uniform(0.45, 0.65)))
                along = 1 if side == plan.side else -1
                z, speed = start + float(rng.uniform(0, BLOCK)), along * float(rng.uniform(3.0, 5.0))

                def ride(time: float, x: float = x, z: float = z, speed: float = speed) -> tuple[float, float, float]:
                    return x + 0.1 * math.sin(0.7 * time + z), z + speed * time, speed * time

                add_cyclist(self.builder, self._outfit(rng), ride, yaw=0.0 if along > 0 else math.pi)

    def _crossing(self, rng: np.random.Generator, z: float) -> None:
        """Somebody who crosses the street well before the camera gets there."""
        arrival = next(t for t in itertools.count(0.0, 0.25) if self.drive.along(t) > z - 9)
        pace = float(rng.uniform(1.1, 1.7)) * int(rng.choice([-1, 1]))
        through = max(arrival - float(rng.uniform(2.5, 6.0)), -3.0)
        limit, lane = self.plan.half + 0.8, self.plan.lane

        def cross(time: float) -> tuple[float, float, float]:
            x = min(max(lane + pace * (time - through), -limit), limit)
            return x, z, x * math.copysign(1.0, pace)

        if rng.random() < 0.75:
            self._pedestrian(rng, cross, sideways=True, ground=0.02)
        else:
            add_cyclist(self.builder, self._outfit(rng), cross, yaw=math.copysign(math.pi / 2, pace))

    def _outfit(self, rng: np.random.Generator) -> Outfit:
        return self.stock.people[int(rng.integers(len(self.stock.people)))]

    def _pedestrian(self, rng: np.random.Generator, path: Path, *, sideways: bool, ground: float) -> None:
        tall = float(rng.uniform(1.5, 1.9))
        add_pedestrian(self.builder, self._outfit(rng), path, tall=tall, sideways=sideways, ground=ground)
