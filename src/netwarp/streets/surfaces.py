"""What a scene is made of: flat textured surfaces, and the rigid bodies that carry them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from netwarp.streets.camera import Matrix
from netwarp.streets.textures import Image, Texture

__all__ = ["FAR", "Pose", "Scene", "Shadow", "Surface"]

FAR = 150.0
"""Nothing farther from the camera than this is drawn, metres."""

Pose = Callable[[float], tuple[Matrix, Matrix]]
"""Time in seconds -> rotation ``[3,3]`` and place ``[3]`` of a rigid body in the world."""


@dataclass(frozen=True)
class Surface:
    """A flat parallelogram: the points ``origin + a·across + b·down`` for a, b in 0–1, in metres.

    Attributes:
        origin: Corner that shows the texture's top left texel, ``[3]``, in the axes of its body.
        across: Edge along the texture's rows, ``[3]``.
        down: Edge along the texture's columns, ``[3]``.
        texture: What it shows.
        label: Its class.
        body: Index of the body that carries it; 0 is the street itself.
        instance: Number of the object that it is a part of, 0 for none. A walker's limbs are bodies of their own, and a
            parked car has none: bodies are not objects.
        one_sided: Seen only from the side from which the texture is not mirrored.
        tile: Metres (across, down) after which the texture repeats, or None where it is stretched over the whole.
    """

    origin: NDArray[np.float64]
    across: NDArray[np.float64]
    down: NDArray[np.float64]
    texture: Texture
    label: int
    body: int = 0
    instance: int = 0
    one_sided: bool = False
    tile: tuple[float, float] | None = None


@dataclass(frozen=True)
class Shadow:
    """A soft dark patch on the ground under something that moves.

    Attributes:
        body: Index of the body; the patch turns and moves with it.
        centre: (x, z) in the axes of the body, metres.
        size: (width, length) in metres.
        height: Of the ground there, metres.
    """

    body: int
    centre: tuple[float, float]
    size: tuple[float, float]
    height: float = 0.0


@dataclass
class Scene:
    """A street and all that stands and moves in it; built once for each clip, and then only looked at.

    Attributes:
        surfaces: All surfaces. A surface's number in all that is drawn is its index + 1; 0 is the sky.
        bodies: Poses of the moving bodies; body ``i`` is ``bodies[i - 1]``, body 0 does not move.
        shadows: Soft shadows of moving bodies.
        sky: ``[h,w,3]`` picture of the sky and of what lies so far off that only turning moves it.
        sky_labels: ``[h,w]`` classes of ``sky``.
        sky_extent: The part of the plane z = 1 that ``sky`` covers: (left, top, right, bottom).
        light: ``[h,w]`` light on the ground, 255 where nothing shades it.
        light_extent: The part of the ground that ``light`` covers, metres: (left, near, right, far).
        ground: Indices of the surfaces that ``light`` and ``shadows`` fall on.
    """

    surfaces: list[Surface] = field(default_factory=list)
    bodies: list[Pose] = field(default_factory=list)
    shadows: list[Shadow] = field(default_factory=list)
    sky: Image = field(default_factory=lambda: np.zeros((1, 1, 3), np.uint8))
    sky_labels: Image = field(default_factory=lambda: np.zeros((1, 1), np.uint8))
    sky_extent: tuple[float, float, float, float] = (-1.6, -0.9, 1.6, 0.08)
    light: Image = field(default_factory=lambda: np.full((1, 1), 255, np.uint8))
    light_extent: tuple[float, float, float, float] = (-1, -1, 1, 1)
    ground: list[int] = field(default_factory=list)

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
