"""What stands between a street and its video: air, shade, lens, motion, light, sensor, compression."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import cv2
import numpy as np
from numpy.typing import NDArray

from netwarp.errors import ConfigurationError
from netwarp.streets.textures import Floats, Image
from netwarp.streets.weather import Weather


@dataclass(frozen=True)
class Effects:
    """How strong each effect is, in the order in which they act; 0 switches an effect off."""

    haze: float = 1.0  # factor on the weather's haze
    # factor on the darkness of shadows under what moves (shade of what stands still is part of the street)
    shadows: float = 1.0
    motion_blur: float = 0.4  # share of the time between two frames for which the shutter is open, 0–1
    lens_blur: float = 0.35  # standard deviation of the lens's blur in pixels, at a width of 320
    vignette: float = 0.18  # light lost in the corners, 0–1
    light_changes: float = 1.0  # factor on slow and sudden changes of light: clouds before the sun, automatic exposure
    flicker: float = 0.008  # standard deviation of the exposure's jitter from frame to frame, as a share
    # standard deviation of the noise of light at mid grey, grey levels of 255; it grows with the square root of the
    # brightness and, like read_noise, with the darkness of the weather
    shot_noise: float = 3.2
    read_noise: float = 1.8  # standard deviation of the sensor's own noise, grey levels
    # quality of the JPEG round trip that every frame makes, 1–100; 0 leaves it out. Frames are compressed one by one:
    # what a video codec does over time (faults that stay until the next key frame, quality that pulses with key
    # frames) is not drawn
    jpeg_quality: int = 72

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value >= 0):
                raise ConfigurationError(f"{field.name} must be 0 or more, not {value}")
        for name, limit in (("motion_blur", 1), ("vignette", 1), ("shadows", 1), ("jpeg_quality", 100)):
            if getattr(self, name) > limit:
                raise ConfigurationError(f"{name} must be at most {limit}, not {getattr(self, name)}")

    @classmethod
    def off(cls) -> Effects:
        """No effects at all: the street itself, in which warping by the flow restores every visible pixel."""
        return cls(**{field.name: 0 for field in fields(cls)})


class CameraEffects:
    """Applies effects to the frames of one clip.

    Every frame has a random generator of its own, so that a frame does not depend on those before it.
    """

    def __init__(self, effects: Effects, weather: Weather, size: tuple[int, int], seed: int) -> None:
        self.effects, self.weather, self.size, self.seed = effects, weather, size, seed
        rng = np.random.default_rng([seed, 4])
        self._phase = rng.uniform(0, 2 * math.pi, 4)
        self._tint = 1 + 0.04 * rng.uniform(-1, 1, 3).astype(np.float32)
        h, w = size
        y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
        self._vignette = (1 - effects.vignette * (x**2 + y**2) / 2).astype(np.float32)[..., None]
        self._xs = np.arange(w, dtype=np.float32)[None, :]
        self._ys = np.arange(h, dtype=np.float32)[:, None]

    def exposure(self, time: float) -> float:
        """Brightness factor at a time in seconds: slow drift, and faster dips where clouds pass before the sun."""
        p = self._phase
        drift = 0.07 * math.sin(0.5 * time + p[0]) + 0.04 * math.sin(1.3 * time + p[1])
        dip = max(math.sin(0.8 * time + p[2]) + 0.4 * math.sin(2.3 * time + p[3]) - 0.6, 0.0)
        depth = 0.3 if self.weather.kind == "sunny" else 0.1
        return 1 + self.effects.light_changes * (drift - depth * dip)

    def __call__(
        self, colour: Image, nearness: Floats, flow: Floats, index: int, time: float, shade: Floats | None
    ) -> Image:
        """One frame through air and camera."""
        e = self.effects
        rng = np.random.default_rng([self.seed, 5, index])
        picture: Floats = colour.astype(np.float32)
        if shade is not None:
            picture *= shade[..., None]
        if e.haze > 0 and self.weather.haze > 0:
            clear = np.exp(-e.haze * self.weather.haze / np.maximum(nearness, 1e-4))
            clear[nearness == 0] = 1.0
            picture += (1 - clear[..., None]) * (self.weather.horizon - picture)
        if e.motion_blur > 0:
            picture = self._motion_blur(picture, flow * e.motion_blur)
        if e.lens_blur > 0:
            sigma = e.lens_blur * self.size[1] / 320
            picture = cv2.GaussianBlur(picture, (0, 0), sigma)
        gain = self.exposure(time) * (1 + e.flicker * rng.standard_normal())
        if e.light_changes > 0 or e.flicker > 0 or e.vignette > 0:
            tint = self._tint if e.light_changes > 0 else np.ones(3, np.float32)
            picture = picture * (self._vignette * (gain * tint).astype(np.float32))
            # A soft shoulder instead of hard clipping, as cameras have.
            over = np.maximum(picture - 200, 0)
            picture -= over * over / (over + 55)
        if e.shot_noise > 0 or e.read_noise > 0:
            variance = e.read_noise**2 + e.shot_noise**2 * np.clip(picture, 0, 255) / 128
            sigma_map = np.sqrt(variance) * np.float32(self.weather.noise)
            picture = picture + sigma_map * rng.standard_normal(picture.shape, np.float32)
        out: Image = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
        if e.jpeg_quality > 0:
            quality = [cv2.IMWRITE_JPEG_QUALITY, int(e.jpeg_quality)]
            _, packed = cv2.imencode(".jpg", cv2.cvtColor(out, cv2.COLOR_RGB2BGR), quality)
            out = cv2.cvtColor(cv2.imdecode(packed, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        return out

    def _motion_blur(self, picture: Floats, smear: NDArray[np.float32]) -> Floats:
        """The mean of the picture along each pixel's way while the shutter is open, ``smear`` pixels long."""
        longest = float(np.quantile(np.abs(smear[:, ::4, ::4]), 0.98))
        taps = min(1 + 2 * math.ceil(longest / 2.5), 7)
        if taps == 1 or longest < 0.3:
            return picture
        total = np.zeros_like(picture)
        for share in np.linspace(-0.5, 0.5, taps):
            x = self._xs + np.float32(share) * smear[0]
            y = self._ys + np.float32(share) * smear[1]
            total += cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return total / np.float32(taps)
