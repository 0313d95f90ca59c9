"""Renders a clip, frame by frame."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netwarp.errors import ConfigurationError, unknown_name
from netwarp.streets.camera import Matrix, intrinsics
from netwarp.streets.effects import CameraEffects, Effects
from netwarp.streets.ground_light import GroundLight
from netwarp.streets.raster import Rasteriser, View
from netwarp.streets.scene import build_street
from netwarp.streets.weather import WEATHERS


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


@dataclass(frozen=True)
class StreetFrame:
    """One frame of a rendered clip.

    Attributes:
        index: Its number in the clip, from 0.
        time: Its time in seconds.
        image: ``[H,W,3]`` uint8 RGB, after all effects of the camera.
        labels: ``[H,W]`` uint8 class at the pixel's centre, an index into :data:`~netwarp.streets.CLASSES`.
        instances: ``[H,W]`` int32 object at the pixel's centre: a positive number for each car, pedestrian and cyclist
            (rider and bicycle are one), the same in all frames of a clip; 0 where there is none of them.
        flow: ``[2,H,W]`` float32 exact backward flow in pixels (u right, v down): the point of the street seen at
            (x, y) was at (x+u, y+v) in the frame before. It is that of the surface, not of shadows on it, and goes
            on beyond the frame's border. Zero in the first frame, which has none before it.
        visible: ``[H,W]`` bool: that point was in the frame before and nothing hid it. False all over the first.
    """

    index: int
    time: float
    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    instances: NDArray[np.int32]
    flow: NDArray[np.float32]
    visible: NDArray[np.bool_]


def check_settings(seed: int, frames: int, size: tuple[int, int], fps: float, weather: str | None) -> None:
    """Raise ConfigurationError for settings that no clip can be rendered with."""
    if seed < 0:
        raise ConfigurationError(f"a seed must be 0 or more, not {seed}")
    if frames < 1:
        raise ConfigurationError(f"a clip needs at least 1 frame, not {frames}")
    if len(size) != 2 or min(size) < 8 or max(size) > 4096:
        raise ConfigurationError(f"size must be (height, width) of 8 to 4096 pixels each, not {size}")
    if not (math.isfinite(fps) and 0 < fps <= 1000):
        raise ConfigurationError(f"fps must be above 0 and at most 1000, not {fps}")
    if weather is not None and weather not in WEATHERS:
        raise unknown_name("weather", weather, WEATHERS)


def render_clip(
    seed: int,
    frames: int = 30,
    size: tuple[int, int] = (180, 320),
    fps: float = 15.0,
    *,
    effects: Effects | None = None,
    weather: str | None = None,
) -> Iterator[StreetFrame]:
    """Render a drive through a street, one frame at a time.

    The same arguments give the same bytes with one build of NumPy and OpenCV. A longer clip begins with the shorter
    one, and labels, instances, flow and visibility do not depend on the effects.

    Args:
        seed: Names the street, its weather, its traffic and the drive.
        frames: Number of frames.
        size: (height, width) in pixels, any from 8 to 4096.
        fps: Frames a second; more of them mean less motion from one to the next.
        effects: Strengths of what camera, air and compression do; ``Effects.off()`` for none of it. Default: all on.
        weather: One of :data:`~netwarp.streets.WEATHERS`, or None to let the seed decide.

    Yields:
        The frames in order.

    Raises:
        ConfigurationError: A setting is out of range. Raised at the call, not at the first frame.

    >>> first, second = render_clip(seed=3, frames=2, size=(36, 64))
    >>> second.image.shape, second.flow.shape, bool(second.visible.any())
    ((36, 64, 3), (2, 36, 64), True)
    """
    check_settings(seed, frames, size, fps, weather)
    return _render(seed, frames, size, fps, effects or Effects(), weather)


def _render(
    seed: int, frames: int, size: tuple[int, int], fps: float, effects: Effects, weather: str | None
) -> Iterator[StreetFrame]:
    street = build_street(seed, frames / fps, weather)
    camera = intrinsics(size)
    rasteriser = Rasteriser(street.scene, camera, size)
    ground = GroundLight(street.scene, camera, effects.shadows)
    finish = CameraEffects(effects, street.weather, size, seed)

    # The frame before the first is drawn as well: the first frame's motion blur needs to know where things came from.
    previous = rasteriser.draw(*street.drive.pose(-1 / fps), -1 / fps)
    for index in range(frames):
        time = index / fps
        view = rasteriser.draw(*street.drive.pose(time), time)
        flow, visible = flow_between(view, previous, camera, rasteriser.body_of)
        image = finish(view.colour, view.nearness, flow, index, time, ground(view))
        if index == 0:
            flow, visible = np.zeros_like(flow), np.zeros_like(visible)
        yield StreetFrame(index, time, image, view.labels, view.instances, flow, visible)
        previous = view
