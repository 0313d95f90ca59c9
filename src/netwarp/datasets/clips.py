"""Clips with labels on some of their frames: every data set is a :class:`ClipData`.

A new data set is one function that lists its files, and one line in :data:`netwarp.datasets.registry.DATASETS`::

    def mine(folder: Path) -> ClipData:
        frames = [
            ClipFrame(image.stem, partial(read_image, image), labels=partial(read_mask, image.with_suffix(".png")))
            for image in sorted(folder.glob("*.jpg"))
        ]
        return ClipData("mine", LabelSet(("road", "sky"), ((128, 64, 128), (70, 130, 180))), (Clip("1", frames),))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from netwarp.errors import ConfigurationError
from netwarp.label_sets import LabelMap, LabelSet
from netwarp.video.source import Image


@dataclass(frozen=True, eq=False)
class ClipFrame:
    """A frame of a clip; its pixels are read anew at every call.

    Attributes:
        name: Unique in its data set.
        image: Reads the frame, RGB uint8 ``[H,W,3]``; raises InputError.
        labels: Reads its labels, uint8 ``[H,W]``: classes, 255 = ignore; None for a frame without labels. Raises
            InputError, also for values that are no class.
        instances: Reads which object a pixel belongs to, int32 ``[H,W]``: 0 = none, other numbers tell objects of one
            class apart. None where that is not known.
        annotation: Reads its labels as annotated, uint8 ``[H,W]``, where a benchmark's script tells void values apart
            (VSPW's video consistency). None elsewhere.
        flow: Reads the true backward flow to the frame before, float32 ``[2,H,W]``, pixels. None where it is not known.
    """

    name: str
    image: Callable[[], Image]
    labels: Callable[[], LabelMap] | None = None
    instances: Callable[[], NDArray[np.int32]] | None = None
    flow: Callable[[], NDArray[np.float32]] | None = None
    annotation: Callable[[], LabelMap] | None = None


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames in order, without a gap; its name is unique in its data set."""

    name: str
    frames: Sequence[ClipFrame]


@dataclass(frozen=True)
class LeftOut:
    """A labelled frame that cannot be used, and why, in a few words."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class Sample:
    """A frame and those right before it, in order. In :meth:`ClipData.samples` the last one has labels."""

    frames: tuple[ClipFrame, ...]

    @property
    def name(self) -> str:
        """The last frame's name."""
        return self.frames[-1].name


@dataclass(frozen=True, eq=False)
class Samples(Sequence[Sample]):
    """The samples of a data set, and the labelled frames that have too few frames before them.

    A missing frame is never replaced by another one, so that such a frame is counted and not used.
    """

    found: tuple[Sample, ...]
    left_out: tuple[LeftOut, ...] = ()

    def __len__(self) -> int:
        return len(self.found)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Samples: ...
    def __getitem__(self, index: int | slice) -> Sample | Samples:
        """Give one sample, or a slice's with all that was left out."""
        return self.found[index] if isinstance(index, int) else Samples(self.found[index], self.left_out)


@dataclass(frozen=True, eq=False)
class ClipData:
    """A data set, or one split of it.

    Attributes:
        name: Such as ``"camvid val"``.
        classes: Names and colours.
        clips: In order.
        left_out: Labelled frames that are in no clip, and why.
        origin: All that pixels, labels and flow of a frame follow from besides its name, where that is known without
            reading them; else None.
    """

    name: str
    classes: LabelSet
    clips: tuple[Clip, ...]
    left_out: tuple[LeftOut, ...] = ()
    origin: str | None = None

    def samples(self, length: int = 2) -> Samples:
        """List every labelled frame with the ``length − 1`` frames right before it.

        Args:
            length: Frames in a sample, at least 1; 2 are the paper's pairs.

        Returns:
            The samples in order, and the labelled frames that have too few frames before them.

        Raises:
            ConfigurationError: ``length`` is below 1.
        """
        if length < 1:
            raise ConfigurationError(f"a sample needs at least 1 frame, not {length}")
        found: list[Sample] = []
        missing: list[LeftOut] = list(self.left_out)
        for clip in self.clips:
            for position, frame in enumerate(clip.frames):
                if frame.labels is None:
                    continue
                if position + 1 < length:
                    there = f"{position or 'no'} frame{'s' if position > 1 else ''} before it"
                    missing.append(LeftOut(frame.name, f"{there}, and clips of {length} need {length - 1}"))
                else:
                    found.append(Sample(tuple(clip.frames[position + 1 - length : position + 1])))
        return Samples(tuple(found), tuple(missing))

    def windows(self, length: int = 2) -> tuple[Sample, ...]:
        """List every run of ``length`` frames, labelled or not; none of clips that are shorter."""
        if length < 1:
            raise ConfigurationError(f"a window needs at least 1 frame, not {length}")
        return tuple(
            Sample(tuple(clip.frames[first : first + length]))
            for clip in self.clips
            for first in range(len(clip.frames) + 1 - length)
        )
