"""Cityscapes' two numberings: the ids that its files and its server have, and the 19 train ids that networks have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from netwarp.errors import InputError
from netwarp.label_sets import CITYSCAPES, IGNORE

__all__ = ["AVERAGE_INSTANCE_SIZES", "IDS", "average_instance_sizes", "to_ids", "to_train_ids"]

IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""The id of each train id, in the order of :data:`netwarp.label_sets.CITYSCAPES`."""

AVERAGE_INSTANCE_SIZES = {
    11: 3462.4756337644,  # person
    12: 3930.4788056518,  # rider
    13: 12794.0202738185,  # car
    14: 27855.1264367816,  # truck
    15: 35732.1511111111,  # bus
    16: 67583.7075812274,  # train
    17: 6298.7200839748,  # motorcycle
    18: 4672.3249222261,  # bicycle
}
"""Pixels of an average object by train id, at 2048×1024: what Cityscapes' evaluation weighs iIoU with."""

_LAST_ID = 33
_UNLABELED = 0


def average_instance_sizes(names: Sequence[str]) -> dict[int, float] | None:
    """Pixels of an average object by class, where the classes are Cityscapes', in whatever order; else None.

    Example:
        >>> from netwarp.label_sets import CITYSCAPES
        >>> average_instance_sizes(CITYSCAPES.names[::-1])[0] == AVERAGE_INSTANCE_SIZES[18]
        True
    """
    if sorted(names) != sorted(CITYSCAPES.names):
        return None
    return {list(names).index(CITYSCAPES.names[label]): size for label, size in AVERAGE_INSTANCE_SIZES.items()}


def to_train_ids(ids: NDArray[np.integer], name: str = "the label map") -> NDArray[np.uint8]:
    """Turn ids into train ids.

    Example:
        >>> to_train_ids(np.array([7, 26, 0, 29])).tolist()
        [0, 13, 255, 255]
    """
    table = np.full(_LAST_ID + 1, IGNORE, np.uint8)
    table[list(IDS)] = np.arange(len(IDS))
    wrong = (ids < 0) | (ids > _LAST_ID)
    if wrong.any():
        raise InputError(
            f"{name} holds {ids[wrong][0]} in {np.count_nonzero(wrong)} of its pixels: "
            f"Cityscapes' ids are 0 to {_LAST_ID}"
        )
    return np.asarray(table[ids])


def to_ids(train_ids: NDArray[np.integer], name: str = "the label map") -> NDArray[np.uint8]:
    """Turn train ids into ids, as Cityscapes' server takes them.

    Example:
        >>> to_ids(np.array([0, 13, 255])).tolist()
        [7, 26, 0]
    """
    table = np.full(IGNORE + 1, _UNLABELED, np.uint8)
    table[: len(IDS)] = IDS
    wrong = ((train_ids < 0) | (train_ids >= len(IDS))) & (train_ids != IGNORE)
    if wrong.any():
        raise InputError(
            f"{name} holds {train_ids[wrong][0]} in {np.count_nonzero(wrong)} of its pixels: "
            f"Cityscapes' train ids are 0 to {len(IDS) - 1}, and {IGNORE} = ignore"
        )
    return np.asarray(table[train_ids])
