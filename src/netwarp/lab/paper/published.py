"""What the paper reports (sections 4.1 and 4.2): every number that ``netwarp reproduce`` prints beside its own."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """Results of one method; nan where the paper gives none."""

    iou: float = math.nan  # mean IoU, percent
    tiou: float = math.nan  # IoU within 2 pixels of label changes, percent
    iiou: float = math.nan  # mean instance IoU, percent
    runtime: str = ""  # of a frame on a Titan X, as the paper's table has it


UNPUBLISHED = Published()

PLAYDATA = Published(68.9, 39.0)

PLACES: tuple[tuple[str, ...], ...] = (
    *((layer,) for layer in ("conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3", "fc6", "fc7", "fc8")),
    ("fc6", "fc7"),
)
"""Where Table 1 puts NetWarps into PlayData-CNN."""

_WITHOUT = (69.3, 69.5, 69.5, 69.4, 69.5, 69.6, 69.4, 69.3, 69.8)
_WITH = (69.6, 69.6, 69.6, 69.5, 69.7, 69.8, 69.7, 69.5, 70.2)

TABLE1: dict[tuple[str, ...], dict[bool, Published]] = {
    (): {False: PLAYDATA},
    **{
        place: {False: Published(without), True: Published(70.2, 39.9) if len(place) > 1 else Published(transformed)}
        for place, without, transformed in zip(PLACES, _WITHOUT, _WITH, strict=True)
    },
}
"""CamVid test, PlayData-CNN: by place, and by whether the flow is transformed. The last place's tIoU is Table 2's."""

CONCATENATION = Published(69.0)
"""Concatenated FC6 and FC7 features: "only 0.1% IoU improvement" (section 4.1)."""

TABLE2: dict[str, Published] = {
    "PlayData-CNN": PLAYDATA,
    "+ NetWarp, DIS": Published(70.2, 39.9),
    "+ NetWarp, FlowFields": Published(70.3, 40.1),
    "+ VPN": Published(69.5),
}
"""CamVid test, PlayData-CNN, by flow."""

TABLE3: dict[str, Published] = {
    "Dilation-CNN": Published(65.3, 34.7, runtime="380 ms"),
    "+ NetWarp": Published(67.1, 36.6, runtime="395 ms"),
    "+ FSO-CRF": Published(66.1, runtime="> 10 s"),
    "+ VPN": Published(66.7, 36.1, runtime="680 ms"),
}
"""CamVid test, Dilation-CNN."""

TABLE4: dict[str, Published] = {
    "PSPNet-SSc": Published(79.4, 39.7, 60.7, "3.00 s"),
    "PSPNet-SSc + NetWarp": Published(80.6, 42.1, 62.1, "3.04 s"),
    "PSPNet-MSc": Published(80.8, 41.5, 62.2, "30.3 s"),
    "PSPNet-MSc + NetWarp": Published(81.5, 43.3, 63.6, "30.5 s"),
}
"""Cityscapes val."""

CITYSCAPES_CLASSES = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "terrain",
    "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
)  # fmt: skip
"""In the order of Table 5, which is that of Cityscapes."""


@dataclass(frozen=True)
class PublishedClasses:
    """A row of Table 5, in percent."""

    iiou: float  # mean instance IoU
    iou: float  # mean IoU
    classes: str  # IoU in the order of CITYSCAPES_CLASSES

    @property
    def per_class(self) -> dict[str, float]:
        """IoU by class."""
        return dict(zip(CITYSCAPES_CLASSES, map(float, self.classes.split()), strict=True))


TABLE5: dict[str, PublishedClasses] = {
    "PSPNet-MSc": PublishedClasses(
        58.1, 80.2, "98.6 86.6 93.2 58.1 63.0 64.5 75.2 79.2 93.4 72.1 95.1 86.3 71.4 96.0 73.6 90.4 80.4 69.9 76.9"
    ),
    "PSPNet-MSc + NetWarp": PublishedClasses(
        59.5, 80.5, "98.6 86.7 93.4 60.6 62.6 68.6 75.9 80.0 93.5 72.0 95.3 86.5 72.1 95.9 72.9 90.0 77.4 70.5 76.4"
    ),
    "ResNet-38": PublishedClasses(
        57.8, 80.6, "98.7 87.0 93.3 60.4 62.9 67.6 75.0 78.7 93.7 73.7 95.5 86.8 71.1 96.1 75.2 87.6 81.9 69.8 76.7"
    ),
    "TuSimple": PublishedClasses(
        56.9, 80.1, "98.6 85.9 93.2 57.7 61.2 67.2 73.7 78.0 93.4 72.3 95.4 85.9 70.5 95.9 76.1 90.6 83.7 67.4 75.7"
    ),
    "LRR-4X": PublishedClasses(
        47.9, 71.9, "98.0 81.5 91.4 50.5 52.7 59.4 66.8 72.7 92.5 70.1 95.0 81.3 60.1 94.3 51.2 67.7 54.6 55.6 69.6"
    ),
    "RefineNet": PublishedClasses(
        47.2, 73.6, "98.2 83.3 91.3 47.8 50.4 56.1 66.9 71.3 92.3 70.3 94.8 80.9 63.3 94.5 64.6 76.1 64.3 62.2 70.0"
    ),
}
"""Cityscapes test."""
