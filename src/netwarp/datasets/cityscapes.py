"""Cityscapes (Cordts et al., 2016): its clips, as its archives unpack, and its two numberings of classes.

Its files and its server have ids; networks have the 19 train ids, the order of :data:`netwarp.label_sets.CITYSCAPES`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netwarp.datasets.clips import ClipData, ClipFrame, LeftOut
from netwarp.datasets.frame_numbers import clips_of
from netwarp.errors import InputError, unknown_name
from netwarp.label_sets import CITYSCAPES, IGNORE, LabelMap
from netwarp.video.images import open_picture, read_image
from netwarp.video.label_maps import read_mask, read_numbers

_VIDEO, _STILLS, _TRUTH = "leftImg8bit_sequence", "leftImg8bit", "gtFine"
_IMAGE, _LABELS, _INSTANCES = "_leftImg8bit.png", "_gtFine_labelIds.png", "_gtFine_instanceIds.png"

_OBJECT = 1000
"""An object's number in ``instanceIds`` is this times its id, plus a count; a smaller number is an id itself."""

_Key = tuple[str, int, int]
"""City, number of the sequence, number of the frame."""


def cityscapes(root: Path, split: str) -> ClipData:
    """Open Cityscapes.

    Frames are ``leftImg8bit_sequence/SPLIT/CITY/CITY_SEQUENCE_FRAME_leftImg8bit.png``; one that is not there is looked
    for in ``leftImg8bit``, which holds the labelled ones, each of them then a clip of its own if that is all there is.
    Labels are ``gtFine/SPLIT/CITY/…_gtFine_labelIds.png``, and its objects ``…_gtFine_instanceIds.png``; a crowd is
    no object. A clip ends where a frame number is missing.

    Labels are train ids. Those of ``test`` are not public: all is ignored there.
    """
    _check_layout(root, split)
    images = _files(root / _STILLS / split, _IMAGE) | _files(root / _VIDEO / split, _IMAGE)
    labels = _files(root / _TRUTH / split, _LABELS)
    if not images:
        raise InputError(f"{root} holds no frames of {split}: expected CITY/CITY_SEQUENCE_FRAME{_IMAGE}")
    if not labels:
        raise InputError(f"{root / _TRUTH / split} holds no labels: expected CITY/CITY_SEQUENCE_FRAME{_LABELS}")
    instances = _files(root / _TRUTH / split, _INSTANCES)
    sequences: dict[tuple[str, int], dict[int, ClipFrame]] = defaultdict(dict)
    for key, image in images.items():
        sequences[key[:2]][key[2]] = _frame(image, labels.get(key), instances.get(key))
    clips = [clip for _, frames in sorted(sequences.items()) for clip in clips_of(frames)]
    missing = sorted(key for key in labels if key not in images)
    left_out = (LeftOut(_name(labels[key], _LABELS), "it has labels but no image") for key in missing)
    return ClipData(f"cityscapes {split}", CITYSCAPES, tuple(clips), tuple(left_out))


def _check_layout(root: Path, split: str) -> None:
    expected = f"expected {_VIDEO}/ or {_STILLS}/, and {_TRUTH}/, as Cityscapes' archives unpack"
    sources = [root / name for name in (_VIDEO, _STILLS) if (root / name).is_dir()]
    if not sources:
        inside = any(part in (_VIDEO, _STILLS, _TRUTH) for part in root.parts)
        hint = "; give the folder that these are in" if inside else ""
        raise InputError(f"{root} {'holds no Cityscapes' if root.is_dir() else 'is not a folder'}: {expected}{hint}")
    splits = sorted({entry.name for source in sources for entry in source.iterdir() if entry.is_dir()})
    if split not in splits:
        raise unknown_name(f"split of Cityscapes in {root}", split, splits)
    if not (root / _TRUTH / split).is_dir():
        raise InputError(f"{root} has no labels of {split}, in {_TRUTH}/{split}/: {expected}")


def _files(folder: Path, ending: str) -> dict[_Key, Path]:
    """Map what their names say to the files of all cities; none where the folder is missing."""
    found: dict[_Key, Path] = {}
    for path in sorted(folder.glob(f"*/*{ending}")):
        if path.name.startswith(".") or path.parent.name.startswith("."):
            continue
        parts = re.fullmatch(r"(.+)_([0-9]+)_([0-9]+)", _name(path, ending))
        if parts is None:
            raise InputError(f"{path} is not named CITY_SEQUENCE_FRAME{ending}, with numbers: rename or remove it")
        key = (parts[1], int(parts[2]), int(parts[3]))
        if key in found:
            raise InputError(f"{path} and {found[key]} are the same frame: remove one of them")
        found[key] = path
    return found


def _name(path: Path, ending: str) -> str:
    return path.name.removesuffix(ending)


def _frame(image: Path, labels: Path | None, instances: Path | None) -> ClipFrame:
    return ClipFrame(
        _name(image, _IMAGE),
        partial(read_image, image),
        labels=None if labels is None else partial(_read_labels, labels, image),
        instances=None if labels is None or instances is None else partial(_read_instances, instances, image),
    )


def _read_labels(path: Path, image: Path) -> LabelMap:
    labels = to_train_ids(read_mask(path), str(path))
    _check_size(path, labels.shape, image)
    return labels


def _read_instances(path: Path, image: Path) -> NDArray[np.int32]:
    """Read which object each pixel is of; 0 for crowds and classes without objects, whose pixels have an id alone."""
    numbers = read_numbers(path, {"I", "I;16", "L"}, "instances").astype(np.int32)
    _check_size(path, numbers.shape, image)
    to_train_ids(np.where(numbers < _OBJECT, numbers, numbers // _OBJECT), str(path))
    return np.where(numbers < _OBJECT, 0, numbers).astype(np.int32)


def _check_size(path: Path, shape: tuple[int, ...], image: Path) -> None:
    """See that labels are as large as their image, of which only the head is read."""
    try:
        with open_picture(image) as picture:
            width, height = picture.size
    except Exception:  # what is wrong with the image, reading it will say
        return
    if shape != (height, width):
        raise InputError(
            f"{path} is {shape[1]}×{shape[0]} pixels, but {image} is {width}×{height}: replace one of them"
        )


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
    """Give the pixels of an average object by class, where the classes are Cityscapes', in whatever order; else None.

    >>> average_instance_sizes(CITYSCAPES.names[::-1])[0] == AVERAGE_INSTANCE_SIZES[18]
    True
    """
    if sorted(names) != sorted(CITYSCAPES.names):
        return None
    return {list(names).index(CITYSCAPES.names[label]): size for label, size in AVERAGE_INSTANCE_SIZES.items()}


def to_train_ids(ids: NDArray[np.integer], name: str = "the label map") -> NDArray[np.uint8]:
    """Turn ids into train ids.

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


def to_ids(train_ids: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Turn train ids into ids, as Cityscapes' server takes them.

    >>> to_ids(np.array([0, 13, 255])).tolist()
    [7, 26, 0]
    """
    table = np.full(IGNORE + 1, _UNLABELED, np.uint8)
    table[: len(IDS)] = IDS
    wrong = ((train_ids < 0) | (train_ids >= len(IDS))) & (train_ids != IGNORE)
    if wrong.any():
        raise InputError(
            f"the label map holds {train_ids[wrong][0]} in {np.count_nonzero(wrong)} of its pixels: "
            f"Cityscapes' train ids are 0 to {len(IDS) - 1}, and {IGNORE} = ignore"
        )
    return np.asarray(table[train_ids])
