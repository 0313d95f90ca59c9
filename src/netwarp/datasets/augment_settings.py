"""Settings of random views; they need no torch."""

from __future__ import annotations

from dataclasses import dataclass

from netwarp.errors import ConfigurationError, shown

_LARGEST, _LONGEST = 16, 16_384
"""Factor, and side of a crop: beyond them a slip of the pen takes all memory."""


@dataclass(frozen=True)
class Augmentation:
    """Which random views are drawn; by default none.

    Attributes:
        flip: Probability of mirroring left and right.
        scale: Smallest and largest factor of the size, drawn evenly in the logarithm.
        crop: (height, width) of a window at a random place, or None for the whole picture. Where the picture is
            smaller, it lies at a random place in the window: frames and flows go on as at their edge, labels are 255.
        brightness: Colours are multiplied by a factor of 1 ± this.
        contrast: The same for their distance from the sample's mean.
        saturation: The same for their distance from gray.
    """

    flip: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    crop: tuple[int, int] | None = None
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.flip <= 1:
            raise ConfigurationError(f"flip is a probability of 0 to 1, not {self.flip:g}")
        low, high = self.scale
        if not 0 < low <= high <= _LARGEST:
            raise ConfigurationError(
                f"scale is a smallest and a largest factor, above 0 and up to {_LARGEST}, not {low:g} and {high:g}"
            )
        if self.crop is not None and not 1 <= min(self.crop) <= max(self.crop) <= _LONGEST:
            raise ConfigurationError(f"crop is (height, width) of 1 to {_LONGEST} pixels, not {shown(self.crop)}")
        for name in ("brightness", "contrast", "saturation"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigurationError(f"{name} varies by 0 to 1, not {getattr(self, name):g}")
