"""Data sets by name: ``camvid:DIR``, ``cityscapes:DIR``, ``vspw:DIR``, ``streets:KEY=VALUE,…``, ``folder:DIR``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from netwarp.datasets.camvid import camvid
from netwarp.datasets.cityscapes import cityscapes
from netwarp.datasets.clip_folder import clip_folder, splits_in
from netwarp.datasets.clips import ClipData
from netwarp.datasets.vspw import vspw
from netwarp.errors import ConfigurationError, unknown_name
from netwarp.imports import is_own, own_part
from netwarp.input_files import expanded
from netwarp.label_sets import IGNORE

DEFAULT_SPLIT = "val"


class DataSet(NamedTuple):
    """A kind of data."""

    # takes the text after the name, the split, the frames of a sample, and the cache folder or None
    open: Callable[..., ClipData]
    splits: tuple[str, ...]  # their names; empty where they are the folders in the data's
    numbered: bool = False  # whether labels are files of numbers, so that ``values`` may say what these stand for


def _streets(text: str, split: str, length: int, cache: Path | None) -> ClipData:
    # By its name: the renderer stands above the data sets, and knows what a clip is.
    open_clips: Callable[..., ClipData] = import_module("netwarp.streets.labelled_clips").street_clips
    return open_clips(split, **_street_settings(text), cache=cache)


_THREE = ("train", "val", "test")
DATASETS: dict[str, DataSet] = {
    # 11 classes, or the original release
    "camvid": DataSet(lambda text, *more, **values: camvid(_folder("camvid", text), *more, **values), _THREE, True),
    # with leftImg8bit_sequence
    "cityscapes": DataSet(lambda text, split, *_: cityscapes(_folder("cityscapes", text), split), _THREE),
    # or VSPW_480p
    "vspw": DataSet(lambda text, split, *_: vspw(_folder("vspw", text), split), _THREE),
    # rendered, with true flow; clips=8,frames=20,size=320x180,seed=0,every=1,rate=15
    "streets": DataSet(_streets, _THREE),
    # any clips with labels on some frames; see docs/data.md
    "folder": DataSet(lambda text, *more, **values: clip_folder(_folder("folder", text), *more, **values), (), True),
}
"""Name in a specification → what opens it."""


def open_data(
    spec: str,
    split: str | None = None,
    *,
    length: int = 2,
    cache: Path | str | None = None,
    mask_value: Mapping[int, int] | str | None = None,
) -> ClipData:
    """Open a data set, or one split of it; only names are read yet, and frames that must be taken out of videos.

    Args:
        spec: A name of :data:`DATASETS`, a colon, and a folder or settings; or ``package.module:name``, a function of
            your own that returns :class:`.ClipData` (called with ``split`` and ``length`` if it takes those).
        split: By default ``"val"``, or the only one that there is.
        length: Frames of a sample. From videos (CamVid's original release, videos in ``folder:``) so many frames are
            taken out; other data does not depend on it.
        cache: Folder for frames of videos (by default the user's cache folder) and rendered clips (by default kept in
            memory).
        mask_value: Classes that numbers in label files stand for, where they are others, such as ``{255: 1}`` or
            ``"255=1"``; 255 on the right ignores.

    Raises:
        ConfigurationError: There is no such data set, split, or setting.
        InputError: The folder does not hold what it should.

    >>> len(open_data("streets:clips=3,frames=4,size=64x48").samples())
    9
    """
    if is_own(spec, tuple(DATASETS)):
        return _own_data(spec, split, length)
    name, text = _parts(spec)
    known = splits_of(spec)
    if split is None:
        if DEFAULT_SPLIT not in known and len(known) > 1:
            raise ConfigurationError(f"{spec} has the splits {', '.join(known)}: say which")
        split = DEFAULT_SPLIT if DEFAULT_SPLIT in known else known[0]
    if split not in known:
        raise unknown_name(f"split of {name}", split, known)
    if length < 1:
        raise ConfigurationError(f"a sample needs at least 1 frame, not {length}")
    more: dict[str, Any] = {}
    if mask_value:
        if not DATASETS[name].numbered:
            raise ConfigurationError(
                f"{{option}} goes with label files of numbers, not with {name}", option="mask_value"
            )
        more["values"] = mask_values(mask_value) if isinstance(mask_value, str) else mask_value
    return DATASETS[name].open(text, split, length, None if cache is None else expanded(cache), **more)


def mask_values(text: str) -> dict[int, int]:
    """Read which classes numbers in label files stand for.

    >>> mask_values("255=1, 128=255")
    {255: 1, 128: 255}
    """
    found: dict[int, int] = {}
    for part in re.split(r"[,\s]+", text.strip()):
        match = re.fullmatch(r"([0-9]{1,5})=([0-9]{1,3})", part)
        if match is None or int(match[2]) > IGNORE:
            raise ConfigurationError(
                f"{{option}} {part!r} is not NUMBER=CLASS, such as 255=1 ({IGNORE} on the right ignores)",
                option="mask_value",
            )
        found[int(match[1])] = int(match[2])
    return found


def _own_data(spec: str, split: str | None, length: int) -> ClipData:
    data: object = own_part(spec, "the clips", split=split or DEFAULT_SPLIT, length=length)
    if not isinstance(data, ClipData):
        raise ConfigurationError(f"{spec} returns {type(data).__name__}, not netwarp.datasets.clips.ClipData")
    return data


def splits_of(spec: str) -> tuple[str, ...]:
    """List the splits of a data set."""
    name, text = _parts(spec)
    if DATASETS[name].splits:
        return DATASETS[name].splits
    return splits_in(_folder(name, text))


def _parts(spec: str) -> tuple[str, str]:
    name, _, text = spec.partition(":")
    if name in DATASETS:
        return name, text
    if spec and expanded(spec).is_dir():
        raise ConfigurationError(f"{spec} is a folder: say what lies in it, such as camvid:{spec} or folder:{spec}")
    raise unknown_name("data set", name, DATASETS)


def _folder(name: str, text: str) -> Path:
    if not text:
        raise ConfigurationError(f"{name} lies in a folder: write {name}:DIR")
    return expanded(text)


def _street_settings(text: str) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        key, _, value = (word.strip() for word in part.partition("="))
        if key in settings:
            raise ConfigurationError(f"streets: {key} is given twice")
        if key == "size":
            match = re.fullmatch(r"([0-9]{1,4})[xX×]([0-9]{1,4})", value)
            if match is None:
                raise ConfigurationError(
                    f"streets: size={value} is not a size: write WIDTHxHEIGHT, such as size=320x180"
                )
            settings[key] = (int(match[2]), int(match[1]))
        elif key == "rate":
            if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,4})?", value):
                raise ConfigurationError(f"streets: rate={value} is no number of frames a second, such as rate=7.5")
            settings[key] = float(value)
        elif key in ("clips", "frames", "seed", "every"):
            if not re.fullmatch(r"[0-9]{1,9}", value):
                raise ConfigurationError(f"streets: {key}={value} is not a whole number of 0 or more")
            settings[key] = int(value)
        else:
            raise unknown_name("setting of streets", key, ("clips", "frames", "size", "seed", "every", "rate"))
    return settings
