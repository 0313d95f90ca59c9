"""Builds what moves or could move: cars, pedestrians, cyclists. All parts are rigid, so that their flow is exact."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from netwarp.streets import paint_things as paint
from netwarp.streets.builder import Builder
from netwarp.streets.camera import rotation
from netwarp.streets.paint_buildings import plain
from netwarp.streets.surfaces import Pose, Shadow
from netwarp.streets.textures import Texture

Path = Callable[[float], tuple[float, float, float]]
"""Time in seconds -> (x, z) on the ground in metres, and the distance walked or ridden since time 0."""

_PROFILES: dict[str, tuple[tuple[float, float], ...]] = {
    "hatchback": ((0, 0.60), (0.05, 0.93), (0.12, 1), (0.55, 1), (0.73, 0.64), (0.98, 0.52), (1, 0.42)),
    "saloon": ((0, 0.58), (0.02, 0.66), (0.16, 0.68), (0.30, 1), (0.58, 1), (0.74, 0.66), (0.98, 0.54), (1, 0.42)),
    "van": ((0, 0.52), (0.01, 0.97), (0.03, 1), (0.74, 1), (0.87, 0.6), (0.99, 0.48), (1, 0.38)),
}
_SIZES = {"hatchback": (1.72, 1.46, 3.9), "saloon": (1.78, 1.42, 4.6), "van": (1.95, 2.2, 5.2)}


@dataclass(frozen=True)
class CarModel:
    """A painted car: (width, height, length) in metres, upper outline, and textures of its faces."""

    size: tuple[float, float, float]
    profile: tuple[tuple[float, float], ...]
    left: Texture
    right: Texture
    rear: Texture
    front: Texture
    body: Texture
    rear_glass: Texture
    front_glass: Texture


def draw_car(rng: np.random.Generator, lit: bool) -> CarModel:
    """Draw a car's kind and colour; ``lit`` turns its lamps on."""
    kind = str(rng.choice(["hatchback", "saloon", "van"], p=[0.5, 0.35, 0.15]))
    colour = paint.CAR_PAINT[int(rng.integers(len(paint.CAR_PAINT)))]
    profile = _PROFILES[kind]
    side = paint.car_side(rng, colour, profile, 0.62 if kind != "van" else 0.58)
    return CarModel(
        _SIZES[kind], profile, side.mirrored(), side,
        paint.car_end(rng, colour, True, lit), paint.car_end(rng, colour, False, lit),
        plain(rng, colour, (24, 48), 0.02), paint.car_glass(rng, colour, True), paint.car_glass(rng, colour, False),
    )  # fmt: skip


@dataclass(frozen=True)
class Outfit:
    """A painted person: head and trunk, with and without helmet, leg and arm; and the bicycle they may ride."""

    trunk: Texture
    riding: Texture
    leg: Texture
    arm: Texture
    bicycle: Texture
    black: Texture


def draw_outfit(rng: np.random.Generator) -> Outfit:
    """Draw a person's clothes and bicycle."""
    coat, trousers = (paint.CLOTH[int(i)] for i in rng.integers(len(paint.CLOTH), size=2))
    skin = paint.SKIN[int(rng.integers(len(paint.SKIN)))]
    return Outfit(
        paint.torso(rng, coat, skin), paint.torso(rng, coat, skin, helmet=bool(rng.random() < 0.5)),
        paint.limb(rng, trousers, (30, 26, 24)), paint.limb(rng, coat, skin), paint.bicycle(rng),
        plain(rng, (24, 24, 26), (16, 8)),
    )  # fmt: skip


def still(x: float, z: float, yaw: float = 0.0, height: float = 0.0) -> Pose:
    """The pose of something that does not move."""
    turned, place = rotation(yaw), np.array([x, -height, z])
    return lambda time: (turned, place)


def add_car(builder: Builder, model: CarModel, pose: Pose, *, moving: bool) -> None:
    """Put a car into the scene: the origin of ``pose`` is the middle of its footprint, its front points along z."""
    width, height, length = model.size
    w, back = width / 2, -length / 2
    label = builder.label("car")
    with builder.one_object(), builder.carried_by(pose, moving=moving) as body:
        low, front = model.profile[0][1] * height, model.profile[-1][1] * height
        tall = (0, height, 0)
        builder.add((w, -height, back), (0, 0, length), tall, model.right, label, one_sided=True)
        builder.add((-w, -height, -back), (0, 0, -length), tall, model.left, label, one_sided=True)
        builder.add((-w, -low, back), (width, 0, 0), (0, low, 0), model.rear, label, one_sided=True)
        builder.add((w, -front, -back), (-width, 0, 0), (0, front, 0), model.front, label, one_sided=True)
        for (x0, y0), (x1, y1) in zip(model.profile[:-1], model.profile[1:], strict=True):
            if x1 - x0 > 0.25 and y1 == y0 and height > 1.9:
                continue  # a van's roof is above a car's camera
            face = model.body
            if abs(y1 - y0) > 0.2:
                face = model.rear_glass if y1 > y0 else model.front_glass
            builder.add(
                (-w, -y1 * height, back + x1 * length), (width, 0, 0), (0, (y1 - y0) * height, (x0 - x1) * length),
                face, label, one_sided=True,
            )  # fmt: skip
        if moving:
            builder.scene.shadows.append(Shadow(body, (0, 0), (width + 0.5, length + 0.5)))


def _swinging(
    path: Path, pivot: tuple[float, float, float], axis: int, reach: float, phase: float, step: float
) -> Pose:
    """A limb that swings about its upper end as its owner walks; axis 0 swings to and fro, axis 2 sideways."""

    def pose(time: float) -> tuple[np.ndarray, np.ndarray]:
        x, z, walked = path(time)
        angle = reach * math.sin(walked / step * math.pi + phase)
        turned = rotation(pitch=angle) if axis == 0 else rotation(roll=angle)
        return turned, np.array([x + pivot[0], pivot[1], z + pivot[2]])

    return pose


def _carried(path: Path, bob: float, step: float, height: float) -> Pose:
    """An upright part that goes along a path, up and down a little with each step."""
    upright = np.eye(3)

    def pose(time: float) -> tuple[np.ndarray, np.ndarray]:
        x, z, walked = path(time)
        return upright, np.array([x, -height - bob * abs(math.cos(walked / step * math.pi)), z])

    return pose


def add_pedestrian(builder: Builder, outfit: Outfit, path: Path, *, tall: float, sideways: bool, ground: float) -> None:
    """Put a pedestrian into the scene: head and trunk, two legs, two arms, each a rigid cut-out."""
    step = 0.42 * tall
    label = builder.label("pedestrian")
    axis = 2 if sideways else 0
    hip, shoulder, thick = 0.48 * tall + ground, 0.80 * tall + ground, 0.085 * tall
    width = 0.27 * tall * (0.8 if sideways else 1.0)
    with builder.one_object():
        with builder.carried_by(_carried(path, 0.02, step, ground), moving=True) as body:
            builder.add((-width / 2, -tall, 0), (width, 0, 0), (0, 0.56 * tall, 0), outfit.trunk, label)
            builder.scene.shadows.append(Shadow(body, (0, 0.0), (0.6, 0.5), ground))
        apart = 0.03 if sideways else 0.055 * tall
        for sign in (-1, 1):
            phase = 0.0 if sign > 0 else math.pi
            pose = _swinging(path, (sign * apart, -hip, 0.015 * sign), axis, 0.45, phase, step)
            with builder.carried_by(pose, moving=True):
                builder.add((-thick / 2, 0, 0), (thick, 0, 0), (0, hip - ground, 0), outfit.leg, label)
            across = sign * (0.02 if sideways else width * 0.47)
            pose = _swinging(path, (across, -shoulder, -0.03 * sign), axis, 0.4, phase + math.pi, step)
            with builder.carried_by(pose, moving=True):
                builder.add((-0.35 * thick, 0, 0), (0.7 * thick, 0, 0), (0, 0.37 * tall, 0), outfit.arm, label)


def add_cyclist(builder: Builder, outfit: Outfit, path: Path, *, yaw: float) -> None:
    """Put a cyclist into the scene: bicycle, wheel and handlebar seen from its ends, rider."""
    label = builder.label("bicyclist")
    turned = rotation(yaw)
    trunk, leg, black = outfit.riding, outfit.leg, outfit.black

    def root(time: float) -> tuple[np.ndarray, np.ndarray]:
        x, z, ridden = path(time)
        return turned @ rotation(roll=0.03 * math.sin(ridden * 1.1)), np.array([x, 0.0, z])

    def pedalling(sign: int) -> Pose:
        def pose(time: float) -> tuple[np.ndarray, np.ndarray]:
            x, z, ridden = path(time)
            angle = ridden * 1.25 + (math.pi if sign > 0 else 0)
            offset = np.array([sign * 0.11, -0.92 + 0.13 * math.sin(angle), 0.05 + 0.13 * math.cos(angle)])
            return turned, np.array([x, 0.0, z]) + turned @ offset

        return pose

    with builder.one_object():
        with builder.carried_by(root, moving=True) as body:
            builder.add((0, -1.05, -0.88), (0, 0, 1.75), (0, 1.05, 0), outfit.bicycle, label)
            builder.add((-0.03, -0.68, -0.86), (0.06, 0, 0), (0, 0.68, 0), black, label)
            builder.add((-0.03, -0.68, 0.86), (0.06, 0, 0), (0, 0.68, 0), black, label)
            builder.add((-0.26, -1.04, 0.45), (0.52, 0, 0), (0, 0.05, 0), black, label)
            builder.add((-0.23, -1.72, 0.0), (0.46, 0, 0), (0, 0.88, 0), trunk, label)
            builder.add((0.0, -1.72, -0.05), (0, -0.05, 0.42), (0, 0.85, -0.30), trunk, label)
            builder.scene.shadows.append(Shadow(body, (0, 0), (0.6, 1.8)))
        for sign in (-1, 1):
            with builder.carried_by(pedalling(sign), moving=True):
                builder.add((-0.07, 0, 0), (0.14, 0, 0), (0, 0.75, 0), leg, label)
                builder.add((0, 0, -0.08), (0, 0, 0.16), (0, 0.75, 0), leg, label)
