"""Draws a scene: colour, class, depth and surface of every pixel.

A surface's point (a, b) is seen at the homogeneous pixel H (a, b, 1)ᵀ, whose third component is its depth z. So the
rows of H⁻¹, applied to a pixel, are a/z, b/z and 1/z: linear functions of the pixel. Inside-or-outside (a ≥ 0,
a ≤ 1, …) and the depth test need only these, they hold behind the camera's plane too, and nothing has to be clipped.

Colours are drawn on a grid of twice the size whose every other sample is a pixel's centre, and filtered with (1 2 1)/4;
classes, surfaces and depths are those at the centres.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from netwarp.streets.camera import Matrix
from netwarp.streets.surfaces import FAR, Scene
from netwarp.streets.textures import OPAQUE, Image

NEAR = 0.35
"""Nothing nearer to the camera than this is drawn, metres."""

SMALL = 0.45
"""Nothing narrower than this in pixels is drawn, nor what is smaller than sixteen times its square."""

SHARPNESS = 0.35
"""How much of a power of two textures may be sharper than the grid."""

_KERNEL = np.array([0.25, 0.5, 0.25])


@dataclass(frozen=True)
class View:
    """A scene as seen at one time."""

    colour: Image  # [H,W,3] uint8 RGB, antialiased, before all effects of the camera
    labels: Image  # [H,W] uint8 class at the pixel's centre
    instances: NDArray[np.int32]  # [H,W] int32 number of the object at the pixel's centre, 0 for none
    surface: NDArray[np.int32]  # [H,W] int32 number of the surface at the pixel's centre, 0 for the sky
    nearness: NDArray[np.float32]  # [H,W] float32 1/depth at the pixel's centre in 1/metres, 0 for the sky
    fine_surface: NDArray[np.int32]  # [2H+1,2W+1] as surface, on the grid of twice the size
    fine_nearness: NDArray[np.float32]  # [2H+1,2W+1] as nearness, likewise
    drawn: NDArray[np.bool_]  # [N+1] bool, the surfaces that were near and large enough to be drawn
    rotations: Matrix  # [B,3,3] from each body's axes to the camera's
    places: Matrix  # [B,3] of each body in the camera's axes


class Rasteriser:
    """Draws one scene with one camera."""

    def __init__(self, scene: Scene, camera: Matrix, size: tuple[int, int]) -> None:
        self.scene, self.camera, self.size = scene, camera, size
        self._fine_camera = np.array([[2, 0, 1], [0, 2, 1], [0, 0, 1]]) @ camera
        surfaces = scene.surfaces
        self._frames = np.stack([np.stack([s.across, s.down, s.origin], 1) for s in surfaces])
        self._body = np.array([s.body for s in surfaces])
        self._one_sided = np.array([s.one_sided for s in surfaces])
        self._repeats = [
            (1.0, 1.0) if s.tile is None
            else (float(np.linalg.norm(s.across)) / s.tile[0], float(np.linalg.norm(s.down)) / s.tile[1])
            for s in surfaces
        ]  # fmt: skip
        self._texels = np.array([(s.texture.width, s.texture.height) for s in surfaces]) * self._repeats
        self._sky = np.dstack([scene.sky, np.full(scene.sky.shape[:2], 255, np.uint8)])
        self._labels = np.array([0] + [s.label for s in surfaces], np.uint8)
        self._instances = np.array([0] + [s.instance for s in surfaces], np.int32)
        # Ground lies behind all that stands on it: drawn last, most of it need not be drawn.
        self._last = np.array([s.tile is not None for s in surfaces])
        number = np.arange(1, len(surfaces) + 1, dtype=np.int32)
        self._numbers = np.broadcast_to(number[:, None, None], (len(surfaces), 2 * size[0] + 1, 2 * size[1] + 1))
        self._xs = np.arange(2 * size[1] + 1, dtype=np.float64)
        self._ys = np.arange(2 * size[0] + 1, dtype=np.float64)
        self.body_of = np.concatenate([[0], self._body])

    def draw(self, rotation: Matrix, place: Matrix, time: float) -> View:
        """Draw the scene."""
        rotations, places = self.scene.poses(time)
        rotations, places = rotation @ rotations, (places - place) @ rotation.T
        frames = rotations[self._body] @ self._frames
        frames[..., 2] += places[self._body]
        chosen, boxes, inverses, levels = self._project(frames)

        h, w = 2 * self.size[0] + 1, 2 * self.size[1] + 1
        colour = np.zeros((h, w, 4), np.uint8)
        nearness = np.zeros((h, w), np.float32)
        surface = np.zeros((h, w), np.int32)
        a, b, c = inverses[:, 0], inverses[:, 1], inverses[:, 2]
        lines = np.stack([c, a, c - a, b, c - b], 1)
        for i, (k, box, level) in enumerate(zip(chosen.tolist(), boxes.tolist(), levels.tolist(), strict=True)):
            self._fill(k, tuple(box), lines[i], inverses[i], tuple(level), colour, nearness, surface)
        sky_labels = self._fill_sky(rotation, colour, surface)

        centres = surface[1::2, 1::2].copy()
        labels = self._labels[centres]
        cv2.copyTo(sky_labels, (centres == 0).view(np.uint8), labels)
        smooth = cv2.sepFilter2D(colour, -1, _KERNEL, _KERNEL)[1::2, 1::2, :3]
        drawn = np.zeros(len(self._body) + 1, np.bool_)
        drawn[chosen + 1] = True
        drawn[0] = True
        return View(
            np.ascontiguousarray(smooth), labels, self._instances[centres], centres, nearness[1::2, 1::2].copy(),
            surface, nearness, drawn, rotations, places,
        )  # fmt: skip

    def _project(self, frames: Matrix) -> tuple[NDArray[np.intp], NDArray[np.intp], Matrix, NDArray[np.intp]]:
        """Choose what can be seen, from front to back."""
        h, w = len(self._ys), len(self._xs)
        maps = self._fine_camera @ frames
        across, down, origin = maps[..., 0], maps[..., 1], maps[..., 2]
        ring = np.stack([origin, origin + across, origin + across + down, origin + down], 1)
        after = np.roll(ring, -1, axis=1)
        # Where an edge passes through the near plane, the box reaches to there.
        gap = ring[..., 2] - after[..., 2]
        share = (ring[..., 2] - NEAR) / np.where(np.abs(gap) < 1e-12, 1e-12, gap)
        cuts = ring + share[..., None] * (after - ring)
        points = np.concatenate([ring, cuts], 1)
        ok = np.concatenate([ring[..., 2] >= NEAR, (share > 0) & (share < 1)], 1)
        flat = points[..., :2] / np.where(ok, points[..., 2], 1.0)[..., None]
        low = np.where(ok[..., None], flat, np.inf).min(1)
        high = np.where(ok[..., None], flat, -np.inf).max(1)

        determinant = np.einsum("ni,ni->n", origin, np.cross(across, down))
        extent = high - low
        seen = (
            ok.any(1)
            & (np.abs(determinant) > 1e-6)
            & ~(self._one_sided & (determinant < 0))
            & (high > 0).all(1)
            & (low[:, 0] < w)
            & (low[:, 1] < h)
            & (extent.min(1) > 2 * SMALL)
            & (extent.prod(1) > 64 * SMALL**2)
        )
        depth = np.where(ok, points[..., 2], np.inf).min(1)
        chosen = np.nonzero(seen & (depth < FAR))[0]
        chosen = chosen[np.lexsort((depth[chosen], self._last[chosen]))]
        low, high = low[chosen], high[chosen]
        limit = np.array([w, h])
        boxes = np.concatenate([np.ceil(np.clip(low, 0, limit)), np.floor(np.clip(high, -1, limit - 1)) + 1], 1).astype(
            np.intp
        )
        fits = (boxes[:, 2:] > boxes[:, :2]).all(1)
        chosen, boxes = chosen[fits], boxes[fits]
        inverses: Matrix = np.linalg.inv(maps[chosen]).astype(np.float64)

        middle = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, np.ones((len(boxes), 1))], 1)
        levels = self._levels(inverses, middle, self._texels[chosen])
        return chosen, boxes, inverses, levels

    @staticmethod
    def _levels(inverses: Matrix, pixels: Matrix, texels: Matrix) -> NDArray[np.intp]:
        """Rip-map levels ``[n,2]`` at pixels ``[n,3]``, from texels passed on a step to the next pixel."""
        value = np.einsum("nij,nj->ni", inverses, pixels)
        scale = np.maximum(value[:, 2], 1e-6)
        ab = value[:, :2] / scale[:, None]
        steps = (inverses[:, :2, :2] - ab[:, :, None] * inverses[:, 2:, :2]) / scale[:, None, None]
        rate = np.abs(steps).max(2) * texels
        return np.asarray(np.floor(np.log2(np.clip(rate, 1.0, 4096.0)) + 1 - SHARPNESS), np.intp)

    def _fill(
        self, k: int, box: tuple[int, int, int, int], lines: Matrix, map_: Matrix, level: tuple[int, int],
        colour: Image, nearness: NDArray[np.float32], surface: NDArray[np.int32],
    ) -> None:  # fmt: skip
        """Draw surface ``k`` into its box where it is nearer than what is there."""
        x0, y0, x1, y1 = box
        along = (lines[:, :1] * self._xs[x0:x1]).astype(np.float32)
        upright = (lines[:, 1:2] * self._ys[y0:y1] + lines[:, 2:]).astype(np.float32)
        if (x1 - x0) * (y1 - y0) < 4000:
            values = along[:, None, :] + upright[:, :, None]
            near = values[0]
            inside = (values[1:] >= 0).all(0)
            inside &= near > nearness[y0:y1, x0:x1]
        else:
            near = along[0] + upright[0][:, None]
            inside = near > nearness[y0:y1, x0:x1]
            for edge in (1, 2, 3, 4):
                inside &= along[edge] >= -upright[edge][:, None]
        if max(near[0, 0], near[0, -1], near[-1, 0], near[-1, -1]) > 1 / NEAR:
            inside &= near <= 1 / NEAR
        masked = self.scene.surfaces[k].texture.masked
        for top, end, rows_level in self._bands(k, map_, box, level):
            columns = inside[top:end].any(0).nonzero()[0]
            if not len(columns):
                continue
            left, right = int(columns[0]), int(columns[-1]) + 1
            part = np.s_[top:end, left:right]
            place = np.s_[y0 + top : y0 + end, x0 + left : x0 + right]
            picture = self._sample(k, map_, (x0 + left, y0 + top, x0 + right, y0 + end), rows_level)
            mask = inside[part].view(np.uint8)
            if masked:
                _, there = cv2.threshold(cv2.extractChannel(picture, 3), OPAQUE - 1, 255, cv2.THRESH_BINARY)
                mask = cv2.bitwise_and(mask, there)
            cv2.copyTo(picture, mask, colour[place])
            cv2.copyTo(near[part], mask, nearness[place])
            cv2.copyTo(self._numbers[k][: end - top, : right - left], mask, surface[place])

    def _bands(
        self, k: int, map_: Matrix, box: tuple[int, int, int, int], level: tuple[int, int]
    ) -> list[tuple[int, int, tuple[int, int]]]:
        """Rows to draw at once, (first, end, texture level): of ground that reaches to the horizon, those of one level.

        Large surfaces are cut too, so that less is sampled of what something nearer hides.
        """
        x0, y0, x1, y1 = box
        count = y1 - y0
        if self.scene.surfaces[k].tile is None:
            step = count if count * (x1 - x0) < 6000 else max(count // 4, 24)
            return [(top, min(top + step, count), level) for top in range(0, count, step)]
        pixels = np.stack([np.full(count, (x0 + x1) / 2), self._ys[y0:y1], np.ones(count)], 1)
        levels = self._levels(np.broadcast_to(map_, (count, 3, 3)), pixels, self._texels[k][None])
        cuts = [0, *(np.flatnonzero((np.diff(levels, axis=0) != 0).any(1)) + 1).tolist(), count]
        return [(top, end, (int(levels[top, 0]), int(levels[top, 1]))) for top, end in itertools.pairwise(cuts)]

    def _sample(self, k: int, map_: Matrix, box: tuple[int, int, int, int], level: tuple[int, int]) -> Image:
        """The texture of surface ``k`` at every sample of a box, ``[h,w,4]``."""
        x0, y0, x1, y1 = box
        thing = self.scene.surfaces[k]
        picture = thing.texture.level(*level)
        scale_x = self._repeats[k][0] * picture.shape[1]
        scale_y = self._repeats[k][1] * picture.shape[0]
        # From a pixel of the box to a texel, whose index is that of its centre.
        m = np.array([[scale_x, 0.0, -0.5], [0.0, scale_y, -0.5], [0.0, 0.0, 1.0]]) @ map_
        m[:, 2] = m @ (x0, y0, 1.0)
        border = cv2.BORDER_REPLICATE
        if thing.tile is not None:
            border = cv2.BORDER_WRAP
            # Whole periods are taken off at the box's middle, so that far along the street coordinates stay small.
            centre = m @ ((x1 - x0) / 2, y1 - y0 - 1, 1)
            for row, period in ((0, picture.shape[1]), (1, picture.shape[0])):
                m[row] -= np.floor(centre[row] / centre[2] / period) * period * m[2]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        out: Image = cv2.warpPerspective(picture, m, (x1 - x0, y1 - y0), flags=flags, borderMode=border)
        return out

    def _fill_sky(self, rotation: Matrix, colour: Image, surface: NDArray[np.int32]) -> Image:
        """Draw the sky where nothing is, and return its classes ``[H,W]`` on the final grid."""
        h, w = self.size
        sky, labels = self._sky, self.scene.sky_labels
        left, top, right, bottom = self.scene.sky_extent
        scale = np.array([sky.shape[1] / (right - left), sky.shape[0] / (bottom - top)])
        to_sky = np.array([[scale[0], 0, -left * scale[0] - 0.5], [0, scale[1], -top * scale[1] - 0.5], [0, 0, 1]])
        rows = np.nonzero((surface == 0).any(1))[0]
        flags = cv2.WARP_INVERSE_MAP
        if len(rows):
            end = int(rows[-1]) + 1
            inverse = to_sky @ rotation.T @ np.linalg.inv(self._fine_camera)
            picture = cv2.warpPerspective(
                sky, inverse, (len(self._xs), end), flags=flags | cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            cv2.copyTo(picture, (surface[:end] == 0).view(np.uint8), colour[:end])
        inverse = to_sky @ rotation.T @ np.linalg.inv(self.camera)
        out: Image = cv2.warpPerspective(
            labels, inverse, (w, h), flags=flags | cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE
        )
        return out
