"""Label images that show classes as colours, and folders whose labels are numbers or colours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwarp.class_lists import ClassList
from netwarp.errors import InputError
from netwarp.label_sets import IGNORE, Colour, LabelMap
from netwarp.video.label_maps import read_classes, read_colours


class ColourTable:
    """Which label each of some colours stands for."""

    def __init__(self, labels: Mapping[Colour, int]) -> None:
        codes = _code(np.array(list(labels), np.uint8).reshape(-1, 3))
        order = np.argsort(codes)
        self._codes, self._labels = codes[order], np.array(list(labels.values()), np.uint8)[order]

    def labels(self, image: NDArray[np.uint8], path: Path, otherwise: str) -> LabelMap:
        """Read an image ``[H,W,3]``; ``otherwise`` ends the error of another colour: what it is not, and what to do.

        Raises:
            InputError: A colour is none of these.
        """
        codes = _code(image)
        places = np.searchsorted(self._codes, codes).clip(max=len(self._codes) - 1)
        strays, counts = np.unique(codes[self._codes[places] != codes], return_counts=True)
        if len(strays):
            most = int(strays[counts.argmax()])
            colour = (most >> 16, most >> 8 & 255, most & 255)
            more = f" (and {len(strays) - 1} other such colours)" if len(strays) > 1 else ""
            raise InputError(
                f"{path} has the colour {colour} in {counts.max()} of its pixels{more}, which is {otherwise}"
            )
        labels: LabelMap = self._labels[places]
        return labels


def _code(image: NDArray[np.uint8]) -> NDArray[Any]:
    wide = image.astype(np.uint32)
    code: NDArray[Any] = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
    return code


class LabelReader:
    """Reads the label images of a data set with ``classes.txt``: numbers of its lines, from 0, or their colours.

    ``values`` are as for :func:`netwarp.video.label_maps.read_mask`.
    """

    def __init__(self, file: Path, listed: ClassList, values: Mapping[int, int] | None = None) -> None:
        self._file, self._listed, self._values = file, listed, values
        self._of_numbers = np.full(256, IGNORE, np.uint8)
        self._of_numbers[: len(listed.labels)] = listed.labels
        self._of_colours: ColourTable | None = None

    def __call__(self, path: Path) -> LabelMap:
        """Read an image's labels ``[H,W]``."""
        image = read_colours(path)
        if image is None:
            return self._of_numbers[read_classes(path, len(self._listed.names), values=self._values)]
        if self._of_colours is None:
            self._of_colours = ColourTable(self._colours(path))
        return self._of_colours.labels(
            image, path, f"no class of {self._file}: add its line there, or 'void R G B' to ignore it; labels must not "
            "be scaled or stored as JPEG",
        )  # fmt: skip

    def _colours(self, path: Path) -> dict[Colour, int]:
        found: dict[Colour, int] = {}
        names: dict[Colour, str] = {}
        for name, colour, label in zip(self._listed.names, self._listed.colours, self._listed.labels, strict=True):
            if colour is None:
                raise InputError(
                    f"{path} holds colours, and {self._file} gives none for {name}: write r g b behind each name, or "
                    "give an image of numbers"
                )
            if found.get(colour, label) != label:
                raise InputError(
                    f"{path} holds colours, and {self._file} gives {names[colour]} and {name} the same one, {colour}: "
                    "give each its own"
                )
            found[colour], names[colour] = label, name
        return found
