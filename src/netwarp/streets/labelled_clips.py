"""Rendered streets as labelled clips: every pixel's label and motion is known exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from netwarp.datasets.clips import Clip, ClipData, ClipFrame
from netwarp.errors import ConfigurationError, unknown_name
from netwarp.label_sets import CAMVID
from netwarp.streets import StreetFrame, StreetPairs, Streets

Kind = TypeVar("Kind", bound=np.generic)


def rendered_data(clips: Sequence[Sequence[StreetFrame]], name: str = "streets") -> ClipData:
    """Make a data set of rendered frames; :func:`netwarp.streets.labelled_clips.street_clips` renders them itself."""
    return ClipData(
        name,
        CAMVID,
        tuple(
            Clip(
                f"street {number}",
                tuple(_held_frame(f"street {number}/{index}", f, index) for index, f in enumerate(clip)),
            )
            for number, clip in enumerate(clips)
        ),
    )


def _held_frame(name: str, frame: StreetFrame, index: int) -> ClipFrame:
    flow = _known(frame.flow) if index else None
    return ClipFrame(name, _known(frame.image), _known(frame.labels), _known(frame.instances), flow)


def _known(array: NDArray[Kind]) -> Callable[[], NDArray[Kind]]:
    return lambda: array


SPLITS = ("train", "val", "test")

_SEEDS_A_SPLIT = 1_000_000
_MEMORY = 1 << 30
_BYTES_A_PIXEL = 17


def street_clips(
    split: str,
    *,
    clips: int = 8,
    frames: int = 20,
    size: tuple[int, int] = (180, 320),
    seed: int = 0,
    every: int = 1,
    rate: float = 15.0,
    cache: Path | None = None,
) -> ClipData:
    """Render streets as a data set, ``rate`` frames a second. A clip is rendered when its first pixel is asked for.

    What was rendered stays in memory, the clips used last, up to a GiB (at least one clip). A training that jumps
    between more clips than that wants a ``cache``.
    """
    if split not in SPLITS:
        raise unknown_name("split of streets", split, SPLITS)
    if not 1 <= clips <= _SEEDS_A_SPLIT:
        raise ConfigurationError(f"streets need clips of 1 to {_SEEDS_A_SPLIT}, not {clips}")
    if seed < 0:
        raise ConfigurationError(f"a seed must be 0 or more, not {seed}")
    if not 1 <= every <= frames:
        raise ConfigurationError(f"every={every} labels no frame of a clip of {frames}: give 1 to {frames}")
    first = (seed * len(SPLITS) + SPLITS.index(split)) * _SEEDS_A_SPLIT
    streets = Streets(range(first, first + clips), frames, size, rate)
    keep = max(1, _MEMORY // (frames * size[0] * size[1] * _BYTES_A_PIXEL))
    rendered = StreetPairs(streets, cache, keep)
    return ClipData(
        f"streets {split}",
        CAMVID,
        tuple(
            Clip(
                f"street-{seed}",
                tuple(_frame(rendered, number, seed, index, (index + 1) % every == 0) for index in range(frames)),
            )
            for number, seed in enumerate(streets.seeds)
        ),
        origin=f"streets {streets.origin}",
    )


def _frame(rendered: StreetPairs, clip: int, seed: int, index: int, labelled: bool) -> ClipFrame:
    read = partial(_read, rendered, clip, index)
    return ClipFrame(
        f"street-{seed}/{index:04d}",
        partial(read, "image"),
        labels=partial(read, "labels") if labelled else None,
        instances=partial(read, "instances") if labelled else None,
        flow=partial(read, "flow") if index else None,
    )


def _read(rendered: StreetPairs, clip: int, index: int, what: str) -> NDArray[Any]:
    return np.array(rendered.arrays(clip)[what][index])
