"""CamVid's 32 colours, and the 11 classes that the literature makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from netwarp.data.clips import LabelMap
from netwarp.data.image_files import read_image
from netwarp.errors import InputError
from netwarp.model.label_set import CAMVID, IGNORE

__all__ = ["COLOURS", "read_coloured_labels"]

Colour = tuple[int, int, int]

COLOURS: dict[str, tuple[Colour, str | None]] = {
    "Sky": ((128, 128, 128), "sky"),
    "Archway": ((192, 0, 128), "building"),
    "Bridge": ((0, 128, 64), "building"),
    "Building": ((128, 0, 0), "building"),
    "Tunnel": ((64, 0, 64), "building"),
    "Wall": ((64, 192, 0), "building"),
    "Column_Pole": ((192, 192, 128), "pole"),
    "TrafficCone": ((0, 0, 64), "pole"),
    "LaneMkgsDriv": ((128, 0, 192), "road"),
    "LaneMkgsNonDriv": ((192, 0, 64), "road"),
    "Road": ((128, 64, 128), "road"),
    "ParkingBlock": ((64, 192, 128), "pavement"),
    "RoadShoulder": ((128, 128, 192), "pavement"),
    "Sidewalk": ((0, 0, 192), "pavement"),
    "Tree": ((128, 128, 0), "tree"),
    "VegetationMisc": ((192, 192, 0), "tree"),
    "Misc_Text": ((128, 128, 64), "sign"),
    "SignSymbol": ((192, 128, 128), "sign"),
    "TrafficLight": ((0, 64, 64), "sign"),
    "Fence": ((64, 64, 128), "fence"),
    "Car": ((64, 0, 128), "car"),
    "OtherMoving": ((128, 64, 64), "car"),
    "SUVPickupTruck": ((64, 128, 192), "car"),
    "Train": ((192, 64, 128), "car"),
    "Truck_Bus": ((192, 128, 192), "car"),
    "Animal": ((64, 128, 64), "pedestrian"),
    "CartLuggagePram": ((64, 0, 192), "pedestrian"),
    "Child": ((192, 128, 64), "pedestrian"),
    "Pedestrian": ((64, 64, 0), "pedestrian"),
    "Bicyclist": ((0, 128, 192), "bicyclist"),
    "MotorcycleScooter": ((192, 0, 192), "bicyclist"),
    "Void": ((0, 0, 0), None),
}
"""Name in the release → its colour (the release's ``label_colors.txt``), and the class that it counts as.

The grouping is that of SegNet (Badrinarayanan, Kendall, Cipolla, 2017) and of those who compare with it; as code it is
published in MathWorks' example of semantic segmentation on CamVid.
"""


def _code(image: np.ndarray) -> np.ndarray:
    wide = image.astype(np.uint32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


_CODES = _code(np.array([colour for colour, _ in COLOURS.values()]))
_CLASSES = np.array([IGNORE if name is None else CAMVID.names.index(name) for _, name in COLOURS.values()], np.uint8)
_ORDER = np.argsort(_CODES)
_CODES, _CLASSES = _CODES[_ORDER], _CLASSES[_ORDER]


def read_coloured_labels(path: Path) -> LabelMap:
    """Read a label image of the original release as the common 11 classes.

    Args:
        path: ``…_L.png``.

    Returns:
        uint8 ``[H,W]``: classes of :data:`~netwarp.model.label_set.CAMVID`, 255 = void.

    Raises:
        InputError: The file cannot be read, or has a colour that is none of the 32.
    """
    codes = _code(read_image(path))
    places = np.searchsorted(_CODES, codes).clip(max=len(_CODES) - 1)
    strays, counts = np.unique(codes[_CODES[places] != codes], return_counts=True)
    if len(strays):
        most = int(strays[counts.argmax()])
        colour = (most >> 16, most >> 8 & 255, most & 255)
        more = f" (and {len(strays) - 1} other such colours)" if len(strays) > 1 else ""
        raise InputError(
            f"{path} has the colour {colour} in {counts.max()} of its pixels{more}, which is none of CamVid's 32: "
            "labels must not be scaled or stored as JPEG; paint black what has no class"
        )
    labels: LabelMap = _CLASSES[places]
    return labels
