"""Label maps that units kept, put beside frames and truth: what pictures of differences are chosen from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from netwarp.data.clips import ClipData, ClipFrame, LabelMap
from netwarp.report.experiment.bench import pictured
from netwarp.report.experiment.crops import Shown

__all__ = ["shown_clips"]

CROPS_APART = 10
"""Crops come from other stretches of so many frames, as long as there are any."""


def shown_clips(data: ClipData, base: Path, warped: Path) -> list[Shown]:
    """Stretches of what was tested on, with both labellings.

    Args:
        data: What was tested on.
        base: Label maps of the network frame by frame.
        warped: Those of the row that is compared with it.
    """
    first, second = _maps(base), _maps(warped)
    frames = pictured(data)
    # Crops are of one size.
    size = first[frames[0].name].shape
    frames = [frame for frame in frames if first[frame.name].shape == size]
    return [_shown(frames[start : start + CROPS_APART], first, second) for start in range(0, len(frames), CROPS_APART)]


def _maps(path: Path) -> dict[str, LabelMap]:
    with np.load(path) as stored:
        return dict(stored)


def _shown(frames: list[ClipFrame], base: Mapping[str, LabelMap], warped: Mapping[str, LabelMap]) -> Shown:
    return Shown(
        names=[frame.name for frame in frames],
        images=np.stack([frame.image() for frame in frames]),
        truth=np.stack([frame.labels() for frame in frames if frame.labels is not None]),
        base=np.stack([base[frame.name] for frame in frames]),
        warped=np.stack([warped[frame.name] for frame in frames]),
    )
