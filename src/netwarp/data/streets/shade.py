"""Light on the ground: the shade of what stands still, and soft shadows under what moves."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from netwarp.data.streets.camera import Matrix
from netwarp.data.streets.raster import View
from netwarp.data.streets.surfaces import Scene
from netwarp.data.streets.textures import Floats, Image

__all__ = ["GroundLight"]


class GroundLight:
    """Finds the light on every ground pixel of a view.

    Args:
        scene: Holds the map of light, the moving shadows and which surfaces are ground.
        camera: ``[3,3]`` pinhole matrix.
        moving: Darkness of the shadows under what moves, 0–1.
    """

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
