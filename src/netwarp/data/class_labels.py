"""Label files of numbered classes, read for a data set: every value is a class, or counts nowhere."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from netwarp.data.clips import LabelMap
from netwarp.data.masks import read_mask
from netwarp.errors import InputError
from netwarp.model.label_set import IGNORE

__all__ = ["read_classes"]


def read_classes(path: Path, classes: int, void: Collection[int] = ()) -> LabelMap:
    """Read a label map from an indexed or gray image.

    Args:
        path: The file.
        classes: Number of classes; a label is one of ``0`` to ``classes − 1``.
        void: Values that the file has where nobody says what is there; 255 is always one of them.

    Returns:
        uint8 ``[H,W]``: classes, 255 = ignore.

    Raises:
        InputError: The file cannot be read as labels, or a value in it is neither a class nor void.
    """
    labels = read_mask(path)
    counts = np.bincount(labels.ravel(), minlength=256)
    wrong = [int(value) for value in np.flatnonzero(counts[classes:IGNORE]) + classes if value not in void]
    if wrong:
        more = f" (and {len(wrong) - 1} other values)" if len(wrong) > 1 else ""
        raise InputError(
            f"{path} holds label {wrong[0]} in {counts[wrong[0]]} of its pixels{more}: "
            f"classes are 0 to {classes - 1}, and {' and '.join(map(str, [*void, IGNORE]))} ignore"
        )
    if counts[classes:IGNORE].any():
        labels[labels >= classes] = IGNORE
    return labels
