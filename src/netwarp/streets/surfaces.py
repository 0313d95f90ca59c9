"""What a scene is made of: flat textured surfaces, and the rigid bodies that carry them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from netwarp.streets.camera import Matrix
from netwarp.streets.textures import Image, Texture

FAR = 150.0
"""Nothing farther from the camera than this is drawn, metres."""

Pose = Callable[[float], tuple[Matrix, Matrix]]
"""Time in seconds -> rotation ``[3,3]`` and place ``[3]`` of a rigid body in the world."""


@dataclass(frozen=True)
class Surface:
    """A flat parallelogram: the points ``origin + a·across + b·down`` for a, b in 0–1, in metres."""

    origin: NDArray[np.float64]  # corner that shows the texture's top left texel, [3], in the axes of its body
    across: NDArray[np.float64]  # edge along the texture's rows, [3]
    down: NDArray[np.float64]  # edge along the texture's columns, [3]
    texture: Texture  # what it shows
    label: int  # its class
    body: int = 0  # index of the body that carries it; 0 is the street itself
    # number of the object that it is a part of, 0 for none. A walker's limbs are bodies of their own, and a parked
    # car has none: bodies are not objects
    instance: int = 0
    one_sided: bool = False  # seen only from the side from which the texture is not mirrored
    # metres (across, down) after which the texture repeats, or None where it is stretched over the whole
    tile: tuple[float, float] | None = None


@dataclass(frozen=True)
class Shadow:
    """A soft dark patch on the ground under something that moves."""

    body: int  # index of the body; the patch turns and moves with it
    centre: tuple[float, float]  # (x, z) in the axes of the body, metres
    size: tuple[float, float]  # (width, length) in metres
    height: float = 0.0  # of the ground there, metres


@dataclass
class Scene:
    """A street and all that stands and moves in it; built once for each clip, and then only looked at."""

    # all surfaces. A surface's number in all that is drawn is its index + 1; 0 is the sky
    surfaces: list[Surface] = field(default_factory=list)
    # poses of the moving bodies; body i is bodies[i - 1], body 0 does not move
    bodies: list[Pose] = field(default_factory=list)
    shadows: list[Shadow] = field(default_factory=list)  # soft shadows of moving bodies
    # [h,w,3] picture of the sky and of what lies so far off that only turning moves it
    sky: Image = field(default_factory=lambda: np.zeros((1, 1, 3), np.uint8))
    sky_labels: Image = field(default_factory=lambda: np.zeros((1, 1), np.uint8))  # [h,w] classes of sky
    # the part of the plane z = 1 that sky covers: (left, top, right, bottom)
    sky_extent: tuple[float, float, float, float] = (-1.6, -0.9, 1.6, 0.08)
    # [h,w] light on the ground, 255 where nothing shades it
    light: Image = field(default_factory=lambda: np.full((1, 1), 255, np.uint8))
    # the part of the ground that light covers, metres: (left, near, right, far)
    light_extent: tuple[float, float, float, float] = (-1, -1, 1, 1)
    ground: list[int] = field(default_factory=list)  # indices of the surfaces that light and shadows fall on

    def add_body(self, pose: Pose) -> int:
        """Add a moving body and return its index."""
        self.bodies.append(pose)
        return len(self.bodies)

    def poses(self, time: float) -> tuple[Matrix, Matrix]:
        """Rotations ``[B,3,3]`` and places ``[B,3]`` of all bodies, the street included, at a time in seconds."""
        rotations = np.empty((len(self.bodies) + 1, 3, 3))
        places = np.empty((len(self.bodies) + 1, 3))
        rotations[0], places[0] = np.eye(3), 0.0
        for i, pose in enumerate(self.bodies, 1):
            rotations[i], places[i] = pose(time)
        return rotations, places
