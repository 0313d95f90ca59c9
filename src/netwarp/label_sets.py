"""Names and colours of the classes of well-known label sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from netwarp.errors import ConfigurationError

IGNORE = 255
"""Label of pixels that are left out of training and scores."""

Colour = tuple[int, int, int]
"""Red, green, blue, 0–255."""

LabelMap = npt.NDArray[np.uint8]
"""Class indices ``[H, W]``, or :data:`IGNORE`."""


@dataclass(frozen=True)
class LabelSet:
    """Class names and their RGB colours (0–255), index by index."""

    names: tuple[str, ...]
    palette: tuple[Colour, ...]

    def __post_init__(self) -> None:
        if len(self.names) != len(self.palette):
            raise ConfigurationError(f"{len(self.names)} class names but {len(self.palette)} colours")

    def __len__(self) -> int:
        return len(self.names)


def voc_colour(index: int) -> Colour:
    """Compute a class's colour in PASCAL VOC's colour map: the bits of the index, spread over R, G and B.

    >>> voc_colour(1), voc_colour(2), voc_colour(15)
    ((128, 0, 0), (0, 128, 0), (192, 128, 128))
    """
    channels = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            channels[channel] |= ((index >> channel) & 1) << (7 - bit)
        index >>= 3
    return channels[0], channels[1], channels[2]


CAMVID = LabelSet(
    (
        "sky", "building", "pole", "road", "pavement", "tree",
        "sign", "fence", "car", "pedestrian", "bicyclist",
    ),
    (
        (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0),
        (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
    ),
)  # fmt: skip
"""CamVid's common 11 classes (Brostow, Fauqueur, Cipolla, 2009)."""

CAMVID_AND_VOID = LabelSet((*CAMVID.names, "void"), (*CAMVID.palette, (0, 0, 0)))
"""The outputs of public CamVid weights (ESPNet, ENet), which were trained with void as a twelfth class.

A pixel of class 11 is drawn black, and is wrong where its target has a class.
"""

CITYSCAPES = LabelSet(
    (
        "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation",
        "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
    ),
    (
        (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153),
        (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60), (255, 0, 0),
        (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32),
    ),
)  # fmt: skip
"""Cityscapes' 19 training classes (Cordts et al., 2016)."""

VOC = LabelSet(
    (
        "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
        "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
    ),
    tuple(voc_colour(i) for i in range(21)),
)  # fmt: skip
"""PASCAL VOC's 21 classes (Everingham et al., 2010)."""


def label_set(classes: int, names: tuple[str, ...] | None = None) -> LabelSet:
    """Name and colour the outputs of a network: as Cityscapes or CamVid where the names are theirs, else as VOC.

    Without ``names`` they are ``class 0``, ``class 1``, …
    """
    if names is None:
        names = tuple(f"class {i}" for i in range(classes))
    if len(names) != classes:
        raise ConfigurationError(f"{len(names)} class names for {classes} classes: give one name for each")
    for known in (CITYSCAPES, CAMVID):
        if names == known.names:
            return known
    return LabelSet(names, tuple(voc_colour(i % 255) for i in range(classes)))


def same_name(one: str, other: str) -> bool:
    """Whether two classes are called the same, but for case, blanks and signs.

    >>> same_name("Traffic light", "traffic_light")
    True
    """
    one, other = ("".join(filter(str.isalnum, name.casefold())) for name in (one, other))
    return one == other


def are_made_up(names: Sequence[str]) -> bool:
    """Whether nobody has named a network's outputs."""
    return all(name.startswith("class ") for name in names) or tuple(names) == ("background", "object")


def coloured_by(own: LabelSet, given: LabelSet) -> LabelSet:
    """Names and colours of others in the place of made-up ones; else the colours of classes that are called the same.

    >>> coloured_by(LabelSet(("Sky", "road"), ((0, 0, 0), (1, 1, 1))), LabelSet(("sky",), ((5, 6, 7),))).palette
    ((5, 6, 7), (1, 1, 1))
    """
    if are_made_up(own.names) and len(own) == len(given):
        return given
    known = [
        next((colour for name, colour in zip(given.names, given.palette, strict=True) if same_name(name, each)), kept)
        for each, kept in zip(own.names, own.palette, strict=True)
    ]
    return LabelSet(own.names, tuple(known))
