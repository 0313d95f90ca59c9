"""Light and air of a clip: what a street looks like on a given day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WEATHERS = ("sunny", "overcast", "dusk", "night")
"""The kinds of weather, drawn with odds 4 : 4 : 2 : 1."""


@dataclass(frozen=True)
class Weather:
    """Light of one clip; all colours are RGB factors or RGB in 0–255."""

    kind: str  # one of WEATHERS
    ambient: NDArray[np.float32]  # light from all sides, as factors of the painted colours
    sun: NDArray[np.float32]  # light from the sun on a face turned towards it, likewise; added to ambient
    sun_from: NDArray[np.float64]  # unit vector towards the sun; x right, y down, z along the street
    zenith: NDArray[np.float32]  # sky colour high up
    horizon: NDArray[np.float32]  # sky colour low down, and the colour that haze fades to
    clouds: float  # share of the sky that clouds cover, 0–1
    haze: float  # share of light that the air swallows per metre
    shadow: float  # how dark cast shadows are, 0–1
    lit: float  # share of windows and lamps that are lit, 0–1
    noise: float  # factor on the sensor's noise (a camera in the dark turns its gain up)

    def light_on(self, normal: NDArray[np.float64]) -> NDArray[np.float32]:
        """Light on a face, RGB factors."""
        # Light from above is stronger than light from below, which the ground only throws back.
        sky = 0.88 - 0.12 * float(normal[1])
        facing = max(float(normal @ self.sun_from), 0.0)
        return (self.ambient * sky + self.sun * facing).astype(np.float32)


def draw_weather(rng: np.random.Generator, kind: str | None = None) -> Weather:
    """Draw the weather of a clip."""
    drawn = str(rng.choice(WEATHERS, p=np.array([4, 4, 2, 1]) / 11))
    kind = kind or drawn
    tone = rng.uniform(-1, 1, 3)
    side, height = rng.uniform(-1, 1), rng.uniform(0.45, 0.9)
    to_sun = np.array([side, -height, rng.uniform(-0.7, 0.4)])
    to_sun /= np.linalg.norm(to_sun)

    def colour(r: float, g: float, b: float, scale: float = 1.0) -> NDArray[np.float32]:
        return np.array([r, g, b], np.float32) * scale

    if kind == "sunny":
        return Weather(
            kind, colour(0.60, 0.63, 0.70, 0.92 + 0.08 * tone[0]), colour(0.66, 0.60, 0.50), to_sun,
            colour(96, 150, 222), colour(196, 218, 240), 0.25 + 0.2 * tone[1], 0.0012, 0.55, 0.03, 1.0,
        )  # fmt: skip
    if kind == "overcast":
        grey = 0.95 + 0.12 * tone[0]
        return Weather(
            kind, colour(0.84, 0.86, 0.88, grey), colour(0.10, 0.10, 0.10), to_sun,
            colour(190, 196, 206, grey), colour(226, 229, 233, grey), 0.9, 0.0022 + 0.001 * tone[2], 0.18, 0.08, 1.2,
        )  # fmt: skip
    if kind == "dusk":
        return Weather(
            kind, colour(0.38, 0.39, 0.47, 1 + 0.15 * tone[0]), colour(0.16, 0.11, 0.06), to_sun,
            colour(88, 104, 138), colour(190, 176, 168), 0.55 + 0.3 * tone[1], 0.0020, 0.25, 0.35, 1.6,
        )  # fmt: skip
    return Weather(
        kind, colour(0.32, 0.31, 0.35, 1 + 0.15 * tone[0]), colour(0.0, 0.0, 0.0), to_sun,
        colour(22, 26, 42), colour(62, 58, 64), 0.6, 0.0020, 0.1, 0.5, 2.2,
    )  # fmt: skip
