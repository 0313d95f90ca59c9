"""Collects the shade that what stands still throws on the ground."""

from __future__ import annotations

import math

import cv2
import numpy as np

from netwarp.data.streets.surfaces import Scene
from netwarp.data.streets.weather import Weather

__all__ = ["LightMap"]

_SCALE = 6
"""Texels per metre."""


class LightMap:
    """A map of the shade on road and pavements; all lengths in metres.

    Args:
        weather: Where the sun stands, and how dark its shade is.
        edge: The map reaches from -edge to edge across the street.
        start: Where it begins along the street.
        end: Where it ends.
    """

    def __init__(self, weather: Weather, edge: float, start: float, end: float) -> None:
        self._sun, self._dark, self._edge, self._start = weather.sun_from, weather.shadow, edge, start
        shape = (math.ceil((end - start) * _SCALE), math.ceil(2 * edge * _SCALE))
        self._cast = np.zeros(shape, np.uint8)
        self._under = np.zeros(shape, np.uint8)

    def _point(self, x: float, z: float, high: float) -> tuple[float, float]:
        """Where the shade of a point at a height falls, in pixels of the light map."""
        sun = self._sun
        x, z = x + sun[0] / sun[1] * high, z + sun[2] / sun[1] * high
        return (x + self._edge) * _SCALE, (z - self._start) * _SCALE

    def wall(self, x: float, z: float, width: float, height: float) -> None:
        """The shade of an upright wall along the street, from ``z`` to ``z + width``."""
        foot = [self._point(x, z, 0), self._point(x, z + width, 0)]
        top = [self._point(x, z + width, height), self._point(x, z, height)]
        cv2.fillConvexPoly(self._cast, np.array(foot + top).round().astype(np.int32), 255)

    def spot(self, x: float, z: float, high: float, radius: float) -> None:
        """The shade of a ball of a ``radius`` at a height."""
        px, pz = self._point(x, z, high)
        cv2.circle(self._cast, (round(px), round(pz)), max(round(radius * _SCALE), 1), 255, -1)

    def footprint(self, x: float, z: float, width: float, length: float) -> None:
        """The dark under something that stands on the ground."""
        (px, pz), s = self._point(x, z, 0), _SCALE
        low = (round(px - width * s / 2), round(pz - length * s / 2))
        high = (round(px + width * s / 2), round(pz + length * s / 2))
        cv2.rectangle(self._under, low, high, 255, -1)

    def put_into(self, scene: Scene) -> None:
        """Turn the shade that was collected into light on the scene's ground."""
        cast = cv2.GaussianBlur(self._cast, (3, 3), 0).astype(np.float32) / 255
        under = cv2.GaussianBlur(self._under, (9, 9), 0).astype(np.float32) / 255
        light = 255 * (1 - self._dark * cast) * (1 - 0.62 * under)
        scene.light = light.astype(np.uint8)
        height, width = light.shape
        right, far = -self._edge + width / _SCALE, self._start + height / _SCALE
        scene.light_extent = (-self._edge, self._start, right, far)
