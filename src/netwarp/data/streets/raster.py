"""Draws a scene: colour, class, depth and surface of every pixel, and the exact flow between two such views.

A surface's point (a, b) is seen at the homogeneous pixel H (a, b, 1)ᵀ, whose third component is its depth z. So the
rows of H⁻¹, applied to a pixel, are a/z, b/z and 1/z: linear functions of the pixel. Inside-or-outside (a ≥ 0, a ≤ 1, …)
and the depth test need only these linear functions, they hold beyond the camera's plane too, and nothing has to be clipped.

Colours are drawn on a grid of twice the size whose every other sample is a pixel's centre, and filtered with (1 2 1)/4;
classes, surfaces and depths are those at the centres.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from netwarp.data.streets.camera import Matrix
from netwarp.data.streets.surfaces import FAR, Scene
from netwarp.data.streets.textures import OPAQUE, Image

__all__ = ["Rasteriser", "View", "flow_between"]

NEAR = 0.35
"""Nothing nearer to the camera than this is drawn, metres."""

SHARPNESS = 0.35
"""How much of a power of two textures may be sharper than the grid."""

_KERNEL = np.array([0.25, 0.5, 0.25])


@dataclass(frozen=True)
class View:
    """A scene as seen at one time.

    Attributes:
        colour: ``[H,W,3]`` uint8 RGB, antialiased, before all effects of the camera.
        labels: ``[H,W]`` uint8 class at the pixel's centre.
        surface: ``[H,W]`` int32 number of the surface at the pixel's centre, 0 for the sky.
        nearness: ``[H,W]`` float32 1/depth at the pixel's centre in 1/metres, 0 for the sky.
        fine_surface: ``[2H+1,2W+1]`` as ``surface``, on the grid of twice the size.
        fine_nearness: ``[2H+1,2W+1]`` as ``nearness``, likewise.
        drawn: ``[N+1]`` bool, the surfaces that were near and large enough to be drawn.
        rotations: ``[B,3,3]`` from each body's axes to the camera's.
        places: ``[B,3]`` of each body in the camera's axes.
    """

    colour: Image
    labels: Image
    surface: NDArray[np.int32]
    nearness: NDArray[np.float32]
    fine_surface: NDArray[np.int32]
    fine_nearness: NDArray[np.float32]
    drawn: NDArray[np.bool_]
    rotations: Matrix
    places: Matrix


class Rasteriser:
    """Draws one scene with one camera.

    Args:
        scene: What to draw.
        camera: ``[3,3]`` pinhole matrix of the final grid.
        size: (height, width) of the final grid.
    """

    def __init__(self, scene: Scene, camera: Matrix, size: tuple[int, int]) -> None:
        self.scene, self.camera, self.size = scene, camera, size
        self._fine_camera = np.array([[2, 0, 1], [0, 2, 1], [0, 0, 1]]) @ camera
        surfaces = scene.surfaces
        self._frames = np.stack([np.stack([s.across, s.down, s.origin], 1) for s in surfaces])
        self._body = np.array([s.body for s in surfaces])
        self._one_sided = np.array([s.one_sided for s in surfaces])
        self._texels = np.array([(s.texture.width, s.texture.height) for s in surfaces], np.float64)
        for i, s in enumerate(surfaces):
            if s.tile is not None:
                self._texels[i] *= np.linalg.norm(s.across) / s.tile[0], np.linalg.norm(s.down) / s.tile[1]
        self._sky = np.dstack([scene.sky, np.full(scene.sky.shape[:2], 255, np.uint8)])
        self._labels = np.array([0] + [s.label for s in surfaces], np.uint8)
        self._xs = np.arange(2 * size[1] + 1, dtype=np.float32)
        self._ys = np.arange(2 * size[0] + 1, dtype=np.float32)
        self.body_of = np.concatenate([[0], self._body])

    def draw(self, rotation: Matrix, place: Matrix, time: float) -> View:
        """Draw the scene.

        Args:
            rotation: ``[3,3]`` world to camera.
            place: ``[3]`` the camera in the world, metres.
            time: Seconds.
        """
        rotations, places = self.scene.poses(time)
        rotations, places = rotation @ rotations, (places - place) @ rotation.T
        frames = rotations[self._body] @ self._frames
        frames[..., 2] += places[self._body]
        chosen, boxes, inverses, levels = self._project(frames)

        h, w = 2 * self.size[0] + 1, 2 * self.size[1] + 1
        colour = np.zeros((h, w, 4), np.uint8)
        nearness = np.zeros((h, w), np.float32)
        surface = np.zeros((h, w), np.int32)
        for k, (x0, y0, x1, y1), inverse, level in zip(chosen, boxes, inverses, levels, strict=True):
            self._fill(k, x0, y0, x1, y1, inverse, level, colour, nearness, surface)
        sky_labels = self._fill_sky(rotation, colour, surface)

        centres = surface[1::2, 1::2].copy()
        labels = self._labels[centres]
        cv2.copyTo(sky_labels, (centres == 0).view(np.uint8), labels)
        smooth = cv2.sepFilter2D(colour, -1, _KERNEL, _KERNEL)[1::2, 1::2, :3]
        drawn = np.zeros(len(self._body) + 1, np.bool_)
        drawn[chosen + 1] = True
        drawn[0] = True
        return View(
            np.ascontiguousarray(smooth), labels, centres, nearness[1::2, 1::2].copy(),
            surface, nearness, drawn, rotations, places,
        )  # fmt: skip

    def _project(self, frames: Matrix) -> tuple[NDArray[np.intp], NDArray[np.intp], Matrix, NDArray[np.intp]]:
        """Choose what can be seen, from front to back.

        Returns:
            Indices ``[n]``, boxes ``[n,4]`` on the fine grid (x0, y0, x1, y1; ends excluded), inverses ``[n,3,3]`` and
            texture levels ``[n,2]``.
        """
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

        determinant = np.linalg.det(maps)
        extent = high - low
        seen = (
            ok.any(1)
            & (np.abs(determinant) > 1e-6)
            & ~(self._one_sided & (determinant < 0))
            & (high > 0).all(1)
            & (low[:, 0] < w)
            & (low[:, 1] < h)
            & (extent.min(1) > 0.3)
            & (extent.max(1) > 2.0)
        )
        depth = np.where(ok, points[..., 2], np.inf).min(1)
        chosen = np.nonzero(seen & (depth < FAR))[0]
        chosen = chosen[np.argsort(depth[chosen], kind="stable")]
        low, high = low[chosen], high[chosen]
        limit = np.array([w, h])
        boxes = np.concatenate([np.ceil(np.clip(low, 0, limit)), np.floor(np.clip(high, -1, limit - 1)) + 1], 1).astype(
            np.intp
        )
        fits = (boxes[:, 2:] > boxes[:, :2]).all(1)
        chosen, boxes = chosen[fits], boxes[fits]
        inverses = np.linalg.inv(maps[chosen])

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
        self, k: int, x0: int, y0: int, x1: int, y1: int, inverse: Matrix, level: NDArray[np.intp],
        colour: Image, nearness: NDArray[np.float32], surface: NDArray[np.int32],
    ) -> None:  # fmt: skip
        """Draw surface ``k`` into its box where it is nearer than what is there."""
        a, b, c = inverse
        lines = np.array([c, a, c - a, b, c - b])
        xs, ys = self._xs[x0:x1], self._ys[y0:y1]
        along = lines[:, :1].astype(np.float32) * xs
        upright = (lines[:, 1:2] * ys + lines[:, 2:]).astype(np.float32)
        near = along[0] + upright[0][:, None]
        window = np.s_[y0:y1, x0:x1]
        inside = near > nearness[window]
        for edge in (1, 2, 3, 4):
            inside &= along[edge] >= -upright[edge][:, None]
        if near[0, 0] > 1 / NEAR or near[-1, -1] > 1 / NEAR or near[0, -1] > 1 / NEAR or near[-1, 0] > 1 / NEAR:
            inside &= near <= 1 / NEAR
        if not inside.any():
            return
        thing = self.scene.surfaces[k]
        if thing.tile is None:
            picture = self._sample(k, inverse, (x0, y0, x1, y1), level, cv2.BORDER_REPLICATE)
            if thing.texture.masked:
                inside &= picture[..., 3] >= OPAQUE
        else:
            picture = self._sample_in_bands(k, inverse, (x0, y0, x1, y1))
        mask = inside.view(np.uint8)
        cv2.copyTo(picture, mask, colour[window])
        cv2.copyTo(near, mask, nearness[window])
        surface[window][inside] = k + 1

    def _sample(
        self, k: int, inverse: Matrix, box: tuple[int, int, int, int], level: NDArray[np.intp], border: int
    ) -> Image:
        """The texture of surface ``k`` at every sample of a box, ``[h,w,4]``."""
        x0, y0, x1, y1 = box
        texture = self.scene.surfaces[k].texture
        picture = texture.level(int(level[0]), int(level[1]))
        scale_x = self._texels[k, 0] * picture.shape[1] / texture.width
        scale_y = self._texels[k, 1] * picture.shape[0] / texture.height
        a, b, c = inverse
        m = np.array([scale_x * a - 0.5 * c, scale_y * b - 0.5 * c, c])
        m[:, 2] += m[:, 0] * x0 + m[:, 1] * y0
        if border == cv2.BORDER_WRAP:
            # Whole periods are taken off at the box's middle, so that far along the street coordinates stay small.
            centre = m @ ((x1 - x0) / 2, y1 - y0 - 1, 1)
            for row, period in ((0, picture.shape[1]), (1, picture.shape[0])):
                m[row] -= np.floor(centre[row] / centre[2] / period) * period * m[2]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        out: Image = cv2.warpPerspective(picture, m, (int(x1 - x0), int(y1 - y0)), flags=flags, borderMode=border)
        return out

    def _sample_in_bands(self, k: int, inverse: Matrix, box: tuple[int, int, int, int]) -> Image:
        """As :meth:`_sample`, for ground that reaches to the horizon: bands of rows, each at its own level."""
        x0, y0, x1, y1 = box
        rows = self._ys[y0:y1]
        pixels = np.stack([np.full(len(rows), (x0 + x1) / 2), rows, np.ones(len(rows))], 1)
        levels = self._levels(np.broadcast_to(inverse, (len(rows), 3, 3)), pixels, self._texels[k][None])
        starts = np.concatenate([[0], np.nonzero((np.diff(levels, axis=0) != 0).any(1))[0] + 1, [len(rows)]])
        bands = [
            self._sample(k, inverse, (x0, y0 + int(s), x1, y0 + int(e)), levels[s], cv2.BORDER_WRAP)
            for s, e in zip(starts[:-1], starts[1:], strict=True)
        ]
        return bands[0] if len(bands) == 1 else np.concatenate(bands)

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


def flow_between(
    current: View, previous: View, camera: Matrix, body_of: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The exact motion of every pixel's surface point from one view of a scene back to another.

    With X = K⁻¹p/n the point of pixel p at nearness n, and (Q, q) the rigid motion of its body in the camera's axes
    from now to then, it was seen at p' ~ K Q K⁻¹ p + n K q. The sky has n = 0: only turning moves it.

    Args:
        current: The view whose pixels are asked about.
        previous: The view that they are looked for in.
        camera: ``[3,3]`` pinhole matrix.
        body_of: ``[N+1]`` the body of each surface's number.

    Returns:
        Flow ``[2,H,W]`` float32 in pixels (u right, v down): the point at (x, y) was at (x+u, y+v); and
        ``[H,W]`` bool: it was in the frame, and nothing hid it.
    """
    h, w = current.surface.shape
    turns = previous.rotations @ current.rotations.transpose(0, 2, 1)
    shifts = previous.places - np.einsum("bij,bj->bi", turns, current.places)
    turns = camera @ turns @ np.linalg.inv(camera)
    shifts = shifts @ camera.T

    xs, ys = np.arange(w, dtype=np.float64), np.arange(h, dtype=np.float64)[:, None]
    near = current.nearness.astype(np.float64)
    turn, shift = turns[0], shifts[0]
    there = [turn[i, 0] * xs + (turn[i, 1] * ys + turn[i, 2]) + shift[i] * near for i in range(3)]
    body = body_of[current.surface]
    rows, columns = np.nonzero(body)
    if len(rows):
        own = body[rows, columns]
        pixel = np.stack([columns, rows, np.ones_like(rows)], 1)
        moved = np.einsum("nij,nj->ni", turns[own], pixel) + shifts[own] * near[rows, columns][:, None]
        for i in range(3):
            there[i][rows, columns] = moved[:, i]

    depth_ratio = there[2]
    ahead = depth_ratio > 1e-6
    safe = np.where(ahead, depth_ratio, 1.0)
    x, y = there[0] / safe, there[1] / safe
    flow = np.stack([x - xs, y - ys]).astype(np.float32)

    visible = ahead & (x >= 0) & (x <= w - 1) & (y >= 0) & (y <= h - 1)
    column = np.where(visible, np.rint(2 * x) + 1, 0).astype(np.intp)
    row = np.where(visible, np.rint(2 * y) + 1, 0).astype(np.intp)
    found = previous.fine_surface[row, column]
    clear = previous.fine_nearness[row, column] <= near / safe * 1.02 + 1e-6
    visible &= (found == current.surface) | clear
    visible &= previous.drawn[current.surface]
    return flow, visible
