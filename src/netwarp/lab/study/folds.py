"""What is trained on and what is tested on: two halves of a data set, both ways, or two splits, one way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from netwarp.datasets.clips import Clip, ClipData
from netwarp.errors import ConfigurationError
from netwarp.flow import PrecomputedFlow, read_flo


@dataclass(frozen=True, eq=False)
class Fold:
    """What is trained on, and what is tested on.

    The first frame of every clip has no labels: it is only the frame before the first pair.
    """

    number: int  # from 0
    train: ClipData  # what is trained on
    test: ClipData  # what is tested on


def two_folds(data: ClipData) -> tuple[Fold, Fold]:
    """Cut a data set in two: between clips, or, if it has only one, in the middle of its labelled pairs.

    Both halves of a single clip hold the frame in the middle: the last of the first half, where its labels count, and
    the first of the other half, where it has none. No labelled frame is in both halves.
    """
    clips = [clip for clip in map(_without_first_labels, data.clips) if _labelled(clip)]
    pairs = sum(len(_labelled(clip)) for clip in clips)
    if pairs < 2:
        raise ConfigurationError(
            f"{data.name} has {pairs} labelled frames with a frame before them: two folds need at least 2"
        )
    parts: tuple[list[Clip], list[Clip]] = clips[: len(clips) // 2], clips[len(clips) // 2 :]
    if len(clips) == 1:
        clip = clips[0]
        middle = _labelled(clip)[pairs // 2 - 1]
        last = _without_first_labels(Clip(clip.name, clip.frames[middle:]))
        parts = [Clip(clip.name, clip.frames[: middle + 1])], [last]
    first, second = (
        replace(data, name=f"{data.name}, {which} half", clips=tuple(part))
        for which, part in zip(("first", "second"), parts, strict=True)
    )
    return Fold(0, first, second), Fold(1, second, first)


def one_fold(train: ClipData, test: ClipData) -> Fold:
    """A data set that comes with its splits."""
    if train.classes.names != test.classes.names:
        raise ConfigurationError(f"{train.name} and {test.name} have different classes: train on what is tested")
    parts = [replace(data, clips=tuple(map(_without_first_labels, data.clips))) for data in (train, test)]
    for part in parts:
        if not any(_labelled(clip) for clip in part.clips):
            raise ConfigurationError(
                f"{part.name} has no labelled frame with a frame before it, and NetWarp is trained on pairs: CamVid's "
                "original release with its videos has them, and Cityscapes' leftImg8bit_sequence"
            )
    return Fold(0, *parts)


def _labelled(clip: Clip) -> list[int]:
    return [index for index, frame in enumerate(clip.frames) if frame.labels is not None]


def _without_first_labels(clip: Clip) -> Clip:
    return Clip(clip.name, (*(replace(frame, labels=None) for frame in clip.frames[:1]), *clip.frames[1:]))


def with_flow(data: ClipData, flow: PrecomputedFlow) -> ClipData:
    """The data with flow out of files, each clip's in the folder of its name, as its true flow."""

    def of(clip: Clip) -> Clip:
        own = flow.in_clip(clip.name)

        def read(index: int) -> npt.NDArray[np.float32]:
            return np.asarray(read_flo(own.path_of(index))[0])

        frames = (replace(frame, flow=partial(read, index)) for index, frame in enumerate(clip.frames) if index)
        return Clip(clip.name, (*clip.frames[:1], *frames))

    return replace(data, clips=tuple(map(of, data.clips)))


def knows_flow(data: ClipData) -> bool:
    """Whether a data set has the true flow of all of its frames."""
    return all(frame.flow is not None for clip in data.clips for frame in clip.frames[1:])
