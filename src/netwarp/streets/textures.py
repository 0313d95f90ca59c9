"""Textures: painted once, sampled at many sizes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

OPAQUE = 128
"""Alpha from which a texel of a masked texture counts as there."""


class Texture:
    """An RGBA picture with its rip-map: copies reduced by powers of two, in each direction on its own.

    Streets are seen at glancing angles: a road is squeezed along the view far more than across it, so that
    one common reduction would either shimmer or blur. Alpha is a cut-out mask, not glass: when a mask is reduced, its
    values are scaled so that the same share of it stays there, or bare branches would vanish with distance.
    """

    def __init__(self, colour: Image, alpha: Image | None = None, glow: NDArray[np.bool_] | None = None) -> None:
        self.masked = alpha is not None
        self._base: Image = np.empty((*colour.shape[:2], 4), np.uint8)
        self._base[..., :3] = colour
        self._base[..., 3] = 255 if alpha is None else alpha
        self._glow = glow
        self._coverage = 1.0 if alpha is None else float((alpha >= OPAQUE).mean())
        self._levels: dict[tuple[int, int], Image] = {(0, 0): self._base}
        self._lit: dict[tuple[int, ...], Texture] = {}
        self.height, self.width = colour.shape[:2]

    def lit(self, gain: Floats) -> Texture:
        """The texture under light of a colour (RGB factors), kept for the next time it is asked for."""
        key = tuple(round(g * 24) for g in gain)
        if key not in self._lit:
            shaded: Image = cv2.multiply(self._base, (*(k / 24 for k in key), 1.0))[..., :3]
            if self._glow is not None:
                shaded[self._glow] = self._base[..., :3][self._glow]
            self._lit[key] = Texture(shaded, self._base[..., 3] if self.masked else None)
        return self._lit[key]

    def mirrored(self) -> Texture:
        """The texture with left and right exchanged."""
        colour, alpha = self._base[:, ::-1, :3], self._base[:, ::-1, 3]
        return Texture(colour, alpha if self.masked else None, None if self._glow is None else self._glow[:, ::-1])

    def cut(self, alpha: Image) -> Texture:
        """The texture's colours with another cut-out mask ``[h,w]``."""
        return Texture(self._base[..., :3], alpha, self._glow)

    def level(self, across: int, down: int) -> Image:
        """The texture reduced by ``2**across`` in width and ``2**down`` in height, ``[h',w',4]``."""
        key = (
            min(max(across, 0), self.width.bit_length() - 1),
            min(max(down, 0), self.height.bit_length() - 1),
        )
        if key not in self._levels:
            size = (max(self.width >> key[0], 1), max(self.height >> key[1], 1))
            reduced: Image = cv2.resize(self._base, size, interpolation=cv2.INTER_AREA)
            if self.masked:
                alpha = reduced[..., 3].astype(np.float32)
                threshold = max(float(np.quantile(alpha, 1 - self._coverage)), 1.0)
                if threshold < OPAQUE:
                    reduced[..., 3] = np.clip(alpha * (OPAQUE / threshold), 0, 255).astype(np.uint8)
            self._levels[key] = reduced
        return self._levels[key]


def mottle(rng: np.random.Generator, shape: tuple[int, int], cell: int, octaves: int = 3) -> Floats:
    """Cloudy noise: random grids of ever finer cells, added up with halved weights."""
    h, w = shape
    total: Floats = np.zeros(shape, np.float32)
    for octave in range(octaves):
        size = max(cell >> octave, 1)
        grid = rng.uniform(-1, 1, (h // size + 2, w // size + 2)).astype(np.float32)
        total += cv2.resize(grid, (w, h), interpolation=cv2.INTER_CUBIC) / 2**octave
    return total / 1.5
