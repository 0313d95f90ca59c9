"""Rendered clips that lie in memory, as a data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from netwarp.data.clips import Clip, ClipData, ClipFrame
from netwarp.data.streets import StreetFrame
from netwarp.model.label_set import CAMVID

__all__ = ["rendered_data"]

Kind = TypeVar("Kind", bound=np.generic)


def rendered_data(clips: Sequence[Sequence[StreetFrame]], name: str = "streets") -> ClipData:
    """Make a data set of rendered frames; :func:`netwarp.data.street_clips.street_clips` renders them itself.

    Args:
        clips: Each in order, as :func:`netwarp.data.streets.render_clip` gives it.
        name: What the data set is called.

    Returns:
        The data set; every frame is labelled and knows its objects, and all but the first of a clip their true flow.
    """
    return ClipData(
        name,
        CAMVID,
        tuple(
            Clip(
                f"street {number}", tuple(_frame(f"street {number}/{index}", f, index) for index, f in enumerate(clip))
            )
            for number, clip in enumerate(clips)
        ),
    )


def _frame(name: str, frame: StreetFrame, index: int) -> ClipFrame:
    flow = _known(frame.flow) if index else None
    return ClipFrame(name, _known(frame.image), _known(frame.labels), _known(frame.instances), flow)


def _known(array: NDArray[Kind]) -> Callable[[], NDArray[Kind]]:
    return lambda: array
