"""Light on the ground: the shade of what stands still, and soft shadows under what moves."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from netwarp.streets.camera import Matrix
from netwarp.streets.raster import View
from netwarp.streets.surfaces import Scene
from netwarp.streets.textures import Floats, Image
from netwarp.streets.weather import Weather

_SCALE = 6
"""Texels per metre."""


class LightMap:
    """A map of the shade on road and pavements; all lengths in metres."""

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


class GroundLight:
    """Finds the light on every ground pixel of a view."""

    def __init__(self, scene: Scene, camera: Matrix, moving: float) -> None:
        self.scene, self.moving = scene, moving
        self._pixel_to_ray = np.linalg.inv(camera)
        self._camera = camera
        self._is_ground = np.zeros(len(scene.surfaces) + 1, np.uint8)
        self._is_ground[np.array(scene.ground, np.intp) + 1] = 255
        y, x = np.mgrid[-1:1:48j, -1:1:48j]
        spot = np.clip(1.35 - 1.35 * (np.abs(x) ** 4 + np.abs(y) ** 4) ** 0.25, 0, 1) ** 0.7
        self._spot: Image = (255 * np.clip(spot, 0, 1)).astype(np.uint8)

    def __call__(self, view: View) -> Floats:
        """Light on the ground, ``[H,W]`` in 0–1; 1 where there is no ground."""
        h, w = view.labels.shape
        ground = self._is_ground[view.surface]
        light = np.full((h, w), 255, np.uint8)
        left, near, right, far = self.scene.light_extent
        rows, columns = self.scene.light.shape
        step = np.array([(right - left) / columns, (far - near) / rows])
        # A texel (s, t) of the map lies on the plane of the road, y = 0.
        place = np.array([[step[0], 0, left + step[0] / 2], [0, 0, 0], [0, step[1], near + step[1] / 2]])
        self._draw(self.scene.light, self._to_pixels(view, 0, place), ground, light)
        result = light.astype(np.float32) / np.float32(255)
        if self.moving > 0:
            self._add_moving(view, ground, result)
        return result

    def _to_pixels(self, view: View, body: int, place: Matrix) -> Matrix:
        """Texel of a map on a body's ground plane -> homogeneous pixel."""
        frame = view.rotations[body] @ place
        frame[:, 2] += view.places[body]
        return np.asarray(self._camera @ frame, np.float64)

    @staticmethod
    def _draw(picture: Image, to_pixels: Matrix, mask: Image, out: Image) -> None:
        h, w = out.shape
        inverse = np.linalg.inv(to_pixels)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        drawn = cv2.warpPerspective(picture, inverse, (w, h), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        cv2.copyTo(drawn, mask, out)

    def _add_moving(self, view: View, ground: Image, light: Floats) -> None:
        h, w = light.shape
        n = self._spot.shape[0]
        for shadow in self.scene.shadows:
            width, length = shadow.size
            x, z = shadow.centre[0] - width / 2, shadow.centre[1] - length / 2
            base = -view.rotations[0][:, 1] @ (view.places[shadow.body] - view.places[0])
            place = np.array([[width / n, 0, x], [0, 0, base - shadow.height], [0, length / n, z]])
            maps = self._to_pixels(view, shadow.body, place)
            corners: NDArray[np.float64] = maps @ np.array([[0, n, n, 0], [0, 0, n, n], [1.0, 1, 1, 1]])
            if corners[2].min() < 1.0 or corners[2].min() > 70.0:
                continue
            flat = corners[:2] / corners[2]
            x0, y0 = np.clip(np.floor(flat.min(1)).astype(int), 0, (w, h))
            x1, y1 = np.clip(np.ceil(flat.max(1)).astype(int) + 1, 0, (w, h))
            if x1 <= x0 or y1 <= y0:
                continue
            shift = np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1.0]])
            drawn = cv2.warpPerspective(self._spot, shift @ maps, (int(x1 - x0), int(y1 - y0)), flags=cv2.INTER_LINEAR)
            window = np.s_[y0:y1, x0:x1]
            dark = self.moving * 0.65 / 255 * drawn.astype(np.float32)
            light[window] *= np.where(ground[window] > 0, 1 - dark, 1.0)
