"""The camera: projection, and the drive of the car that it is mounted on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def intrinsics(size: tuple[int, int]) -> Matrix:
    """The pinhole matrix of a camera with a horizontal view of 56° at 16:9 and 50° at 4:3."""
    h, w = size
    focal = 0.5 * w / math.tan(math.radians(28.0)) * (1.0 if w >= 1.6 * h else 1.14)
    return np.array([[focal, 0, (w - 1) / 2], [0, focal, (h - 1) / 2], [0, 0, 1]], np.float64)


def rotation(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Matrix:
    """A rotation in the world's axes: x right, y down, z forward."""
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (math.cos, math.sin))
    # Yaw · pitch · roll, multiplied out: this runs for every moving part of every frame.
    return np.array(
        [
            [cy * cr + sy * sp * sr, sy * sp * cr - cy * sr, sy * cp],
            [cp * sr, cp * cr, -sp],
            [cy * sp * sr - sy * cr, sy * sr + cy * sp * cr, cy * cp],
        ]
    )


@dataclass(frozen=True)
class Drive:
    """Where the camera is and where it looks, as smooth functions of time.

    Functions of time and not a random walk: a frame's pose does not depend on how many frames are drawn.
    """

    lane: float  # x of the middle of the lane, metres
    speed: float  # mean speed in m/s
    surge: float  # share of the speed that comes and goes, 0–1
    sway: float  # how far the car wanders within its lane, metres
    look: tuple[float, float]  # slow turning of the view, radians: (amplitude, offset)
    shake: float  # amplitude of bumps, radians of pitch
    height: float  # of the camera above the road, metres
    phase: tuple[float, ...]  # nine phases in radians, one for each oscillation

    def along(self, time: float) -> float:
        """Distance driven along the street at ``time`` (seconds), metres."""
        w, p = 0.7, self.phase[0]
        return self.speed * (time - self.surge / w * (math.cos(w * time + p) - math.cos(p)))

    def pose(self, time: float) -> tuple[Matrix, Matrix]:
        """The camera at a time."""
        p = self.phase
        x = self.lane + self.sway * math.sin(0.45 * time + p[1])
        pace = 0.3 + self.surge * math.sin(0.7 * time + p[0]) * 0.7
        bump = math.sin(8.3 * time + p[2]) * math.sin(1.7 * time + p[3]) + 0.5 * math.sin(19.0 * time + p[4])
        bump *= min(pace, 1.0)
        yaw = (
            self.look[1]
            + self.look[0] * math.sin(0.55 * time + p[5])
            + self.sway * 0.45 * math.cos(0.45 * time + p[1]) / max(self.speed, 4.0)
            + 0.1 * self.shake * math.sin(6.1 * time + p[6])
        )
        pitch = -0.012 + self.shake * bump + 0.004 * math.sin(0.9 * time + p[7])
        roll = 0.006 * math.sin(0.8 * time + p[8]) + 0.4 * self.shake * math.sin(7.1 * time + p[3])
        place = np.array([x, -self.height - 1.5 * self.shake * bump, self.along(time)])
        return rotation(yaw, pitch, roll).T, place


def draw_drive(rng: np.random.Generator, lane: float) -> Drive:
    """Draw a drive: mostly steady, at times slow, or with a wide slow turn of the view."""
    slow = rng.random() < 0.25
    turning = rng.random() < 0.3
    return Drive(
        lane=lane,
        speed=float(rng.uniform(1.5, 4.0) if slow else rng.uniform(5.0, 10.5)),
        surge=float(rng.uniform(0.5, 0.95) if slow else rng.uniform(0.05, 0.35)),
        sway=float(rng.uniform(0.1, 0.4)),
        look=(
            float(rng.uniform(0.08, 0.16) if turning else rng.uniform(0.01, 0.04)),
            float(rng.uniform(-0.06, 0.06)),
        ),
        shake=float(rng.uniform(0.001, 0.0045)),
        height=float(rng.uniform(1.25, 1.6)),
        phase=tuple(float(a) for a in rng.uniform(0, 2 * math.pi, 9)),
    )
