"""Which random views of a sample are drawn: settings, read without torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netwarp.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy as np

    from netwarp.data.augment import Geometry

__all__ = ["Augmentation"]


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

    Raises:
        ConfigurationError: A value makes no sense.

    Example:
        >>> import numpy as np
        >>> Augmentation(flip=0.5).draw(np.random.default_rng(0), (360, 480)).size
        (360, 480)
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
        if not 0 < low <= high < math.inf:
            raise ConfigurationError(
                f"scale is a smallest and a largest factor, both above 0, not {low:g} and {high:g}"
            )
        if self.crop is not None and min(self.crop) < 1:
            raise ConfigurationError(f"crop is (height, width) of at least 1 pixel each, not {self.crop}")
        for name in ("brightness", "contrast", "saturation"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigurationError(f"{name} varies by 0 to 1, not {getattr(self, name):g}")

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Geometry:
        """Draw one view. As many numbers are drawn whatever the settings, so that one does not change another.

        Args:
            rng: All that the view depends on, with the settings and the size.
            size: (height, width) of the sample.

        Returns:
            The view.
        """
        # Here, since settings are also read where torch is not wanted: by the command line.
        from netwarp.data.augment import Colour, Geometry

        flip, grow, down, right, *colours = rng.random(7).tolist()
        low, high = map(math.log, self.scale)
        factor = math.exp(low + grow * (high - low))
        # Never one pixel wide: to that width torch 2.13 scales wrongly, and bytes not at all.
        scaled = (_scaled(size[0], factor), _scaled(size[1], factor))
        h, w = self.crop or scaled
        strengths = (self.brightness, self.contrast, self.saturation)
        factors = [1 + strength * (2 * share - 1) for strength, share in zip(strengths, colours, strict=True)]
        return Geometry(
            source=size,
            flip=flip < self.flip,
            size=scaled,
            window=(_offset(scaled[0] - h, down), _offset(scaled[1] - w, right), h, w),
            colour=Colour(*factors) if any(strengths) else None,
        )


def _scaled(side: int, factor: float) -> int:
    return max(min(side, 2), round(side * factor))


def _offset(room: int, share: float) -> int:
    """A place from 0 to ``room``, which may be negative."""
    low, high = min(room, 0), max(room, 0)
    return low + min(int(share * (high - low + 1)), high - low)
