"""Adds lit surfaces to a scene, in the axes of whatever carries them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from netwarp.label_sets import CAMVID
from netwarp.streets.surfaces import Pose, Scene, Surface
from netwarp.streets.textures import Texture
from netwarp.streets.weather import Weather

CLASSES: tuple[str, ...] = CAMVID.names
"""Names of the classes that :mod:`netwarp.streets` draws; a label is an index into them."""

Vector = tuple[float, float, float]

_STRETCH = 1000
"""More objects than a stretch ever holds: a block has a dozen parked cars, and its passers-by are a Poisson number of a
few."""


class Builder:
    """Puts surfaces into a scene under the light of the day."""

    def __init__(self, scene: Scene, weather: Weather) -> None:
        self.scene, self.weather = scene, weather
        self._body, self._instance, self._next = 0, 0, 1
        self._turn, self._place, self._placed = np.eye(3), np.zeros(3), False
        self._lit_turn = np.eye(3)

    @staticmethod
    def label(name: str) -> int:
        """The label of a class."""
        return CLASSES.index(name)

    def begin_stretch(self, number: int) -> None:
        """Number the objects that follow within a stretch of numbers of its own.

        A longer clip has a longer street. Counted from one end to the other, its objects would have other numbers than
        the same ones in the shorter clip that it begins with.
        """
        self._next = 1 + number * _STRETCH

    @contextmanager
    def one_object(self) -> Iterator[int]:
        """Within this context, surfaces are parts of one object, whatever bodies carry them."""
        self._instance = self._next
        self._next += 1
        try:
            yield self._instance
        finally:
            self._instance = 0

    @contextmanager
    def carried_by(self, pose: Pose, *, moving: bool) -> Iterator[int]:
        """Within this context, surfaces are given in the axes of a body."""
        turn, place = pose(0.0)
        self._lit_turn = turn
        if moving:
            self._body = self.scene.add_body(pose)
        else:
            self._turn, self._place, self._placed = turn, place, True
        try:
            yield self._body
        finally:
            self._body, self._turn, self._place, self._lit_turn = 0, np.eye(3), np.zeros(3), np.eye(3)
            self._placed = False

    def add(
        self, corner: Vector, across: Vector, down: Vector, texture: Texture, label: int, *,
        one_sided: bool = False, tile: tuple[float, float] | None = None, normal: Vector | None = None,
    ) -> int:  # fmt: skip
        """Add a surface."""
        u, v, origin = np.array(across, np.float64), np.array(down, np.float64), np.array(corner, np.float64)
        if normal is None:
            (ux, uy, uz), (vx, vy, vz) = across, down
            facing = np.array([uz * vy - uy * vz, ux * vz - uz * vx, uy * vx - ux * vy])
            facing = self._lit_turn @ facing / math.sqrt(float(facing @ facing))
        else:
            facing = np.array(normal, np.float64)
        if self._placed:
            u, v, origin = self._turn @ u, self._turn @ v, self._turn @ origin + self._place
        lit = texture.lit(self.weather.light_on(facing))
        self.scene.surfaces.append(Surface(origin, u, v, lit, label, self._body, self._instance, one_sided, tile))
        return len(self.scene.surfaces) - 1
