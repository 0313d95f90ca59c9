"""Match the order of a data set's classes to that of a network's outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from netwarp.datasets.clips import Clip, ClipData, ClipFrame
from netwarp.errors import ConfigurationError
from netwarp.label_sets import IGNORE, LabelMap, LabelSet, same_name


def in_order_of(data: ClipData, outputs: Sequence[str]) -> ClipData:
    """Number a data set's labels as a network's outputs are, where these are the same classes by name.

    Published weights have a data set's classes in orders of their own (Yu and Koltun's CamVid network begins with
    building, tree, sky). Compared number by number, their labels would be wrong everywhere.
    """
    names = data.classes.names
    places = [_place(name, outputs[: len(names)]) for name in names]
    if sorted(places) != list(range(len(names))) or places == list(range(len(names))):
        return data
    table = np.full(256, IGNORE, np.uint8)
    table[: len(places)] = places
    order = np.argsort(places)
    classes = LabelSet(tuple(names[i] for i in order), tuple(data.classes.palette[i] for i in order))
    clips = tuple(Clip(clip.name, tuple(_frame(frame, table) for frame in clip.frames)) for clip in data.clips)
    return replace(data, classes=classes, clips=clips)


def doubts_about(outputs: Sequence[str], data: ClipData) -> str | None:
    """Say in a line where names show that outputs and classes of one number differ; None where they agree."""
    names = data.classes.names
    if len(outputs) < len(names):
        raise ConfigurationError(
            f"the network has {len(outputs)} outputs, but {data.name} has {len(names)} classes: "
            "take one that was trained on these"
        )
    different = [(a, b) for a, b in zip(outputs, names, strict=False) if not same_name(a, b)]
    if not different or outputs[0].startswith("class "):
        return None
    return (
        f"{len(different)} of {len(names)} classes have other names, such as {different[0][0]!r} for "
        f"{different[0][1]!r}: the scores mean nothing if they are other classes"
    )


def _place(name: str, outputs: Sequence[str]) -> int:
    found = [place for place, output in enumerate(outputs) if same_name(name, output)]
    return found[0] if len(found) == 1 else -1


def _frame(frame: ClipFrame, table: NDArray[np.uint8]) -> ClipFrame:
    return frame if frame.labels is None else replace(frame, labels=partial(_renumbered, frame.labels, table))


def _renumbered(read: Callable[[], LabelMap], table: NDArray[np.uint8]) -> LabelMap:
    renumbered: LabelMap = table[read()]
    return renumbered
