"""Read a whole data set: stop at the first fault, or count what there is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from netwarp.datasets.clips import Clip, ClipData, ClipFrame, LeftOut
from netwarp.errors import InputError, few
from netwarp.label_sets import IGNORE, LabelMap, LabelSet


@dataclass
class DataSummary:
    """Numbers of clips, frames, samples and pixels of a data set."""

    name: str
    classes: LabelSet
    length: int  # frames in a sample
    clips: int
    samples: int
    left_out: tuple[LeftOut, ...]
    frames: int = 0
    labelled: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)  # (width, height) → frames
    pixels: list[int] = field(default_factory=list)  # labelled ones of each class, then the ignored ones
    doubt: str | None = None  # what looks wrong about the labels, in a line

    @property
    def shares(self) -> dict[str, float]:
        """Give the percentage of each class among the pixels that count; nan where none counts."""
        counted = sum(self.pixels[:-1])
        return {
            name: 100 * count / counted if counted else float("nan")
            for name, count in zip(self.classes.names, self.pixels[:-1], strict=True)
        }

    @property
    def reasons(self) -> dict[str, list[str]]:
        """Map why frames were left out to their names, the most frequent reason first."""
        found: dict[str, list[str]] = {}
        for frame in self.left_out:
            found.setdefault(frame.reason, []).append(frame.name)
        return dict(sorted(found.items(), key=lambda item: -len(item[1])))

    def text(self) -> str:
        """Write the summary in a few lines."""
        sizes = ", ".join(f"{w}×{h}" + (f" ({n})" if len(self.sizes) > 1 else "") for (w, h), n in self.sizes.items())
        lines = [
            self.name,
            f"  clips      {self.clips}",
            f"  frames     {self.frames}, {sizes}",
            f"  labelled   {self.labelled}",
            f"  samples    {self.samples} of {_frames(self.length)}",
            f"  left out   {len(self.left_out)}",
        ]
        lines += [f"             {len(names)}: {why} ({few(names)})" for why, names in self.reasons.items()]
        shares = sorted(self.shares.items(), key=lambda item: -item[1])
        lines.append("  classes    " + ", ".join(f"{name} {share:.2f} %" for name, share in shares))
        lines.append(f"  ignored    {100 * self.pixels[-1] / max(1, sum(self.pixels)):.2f} % of the labelled pixels")
        return "\n".join(lines)


MOST_LOOKED_AT = 400
"""Label maps from which on a look at them takes some of them, evenly, instead of all."""


def never_labelled(counts: Sequence[int], names: Sequence[str]) -> str | None:
    """Say which classes no pixel has, of counts of the labels 0 to 255; None where all occur."""
    missing = [name for name, count in zip(names, counts, strict=False) if not count]
    if not missing:
        return None
    said = f"{len(missing)} of {len(names)} classes never occur{'s' if len(missing) == 1 else ''} ({few(missing)})"
    doubt = ignored_class(counts)
    return f"{said}, while {doubt}" if doubt else said


def ignored_class(counts: Sequence[int]) -> str | None:
    """Say that 255 may be a class, of counts of the labels 0 to 255; None where two others occur."""
    if not counts[IGNORE] or sum(map(bool, counts[:IGNORE])) > 1:
        return None
    return (
        f"{100 * counts[IGNORE] / sum(counts):.1f} % of the pixels are {IGNORE}, which is ignored: if that is a "
        f"class's number, as in masks of 0 and {IGNORE}, give --mask-value {IGNORE}=CLASS"
    )


def label_counts(labels: Sequence[Callable[[], LabelMap]], most: int = MOST_LOOKED_AT) -> NDArray[np.int64]:
    """Count the labels 0 to 255 in label maps; of many, in some of them."""
    step = max(1, math.ceil(len(labels) / most))
    counts = np.zeros(256, np.int64)
    for read in labels[::step]:
        counts += np.bincount(read().ravel(), minlength=256)
    return counts


def check_data(data: ClipData, length: int = 2, advance: Callable[[], None] | None = None) -> DataSummary:
    """Read every frame, label and flow of a data set."""
    samples = data.samples(length)
    summary = DataSummary(data.name, data.classes, length, len(data.clips), len(samples), samples.left_out)
    pixels = np.zeros(256, np.int64)
    names: set[str] = set()
    for clip in data.clips:
        size: tuple[int, int] | None = None
        for frame in clip.frames:
            if frame.name in names:
                raise InputError(f"{data.name} has two frames called {frame.name}: rename one")
            names.add(frame.name)
            size = _checked_size(clip, frame, size)
            summary.frames += 1
            summary.sizes[size[::-1]] += 1
            if frame.labels is not None:
                summary.labelled += 1
                pixels += _checked_labels(frame, size, len(data.classes))
            _check_rest(frame, size)
            if advance is not None:
                advance()
    summary.doubt = never_labelled(pixels.tolist(), data.classes.names) if summary.labelled else None
    summary.pixels = [*pixels[: len(data.classes)].tolist(), int(pixels[IGNORE])]
    return summary


def _checked_size(clip: Clip, frame: ClipFrame, size: tuple[int, int] | None) -> tuple[int, int]:
    image = frame.image()
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise InputError(f"frame {frame.name} is {image.dtype} {list(image.shape)}, not RGB uint8 [H,W,3]")
    own = (image.shape[0], image.shape[1])
    if size is not None and own != size:
        raise InputError(f"frame {frame.name} is {_size(own)}, the one before it {_size(size)}: "
                         f"all frames of clip {clip.name} must have one size")  # fmt: skip
    return own


def _checked_labels(frame: ClipFrame, size: tuple[int, int], classes: int) -> np.ndarray:
    assert frame.labels is not None
    labels = frame.labels()
    if labels.shape != size:
        raise InputError(f"the labels of frame {frame.name} are {_size(labels.shape)}, the frame is {_size(size)}: "
                         "label every pixel of the frame itself")  # fmt: skip
    counts = np.bincount(labels.ravel(), minlength=256)
    if counts[classes:IGNORE].any():
        value = classes + int(counts[classes:IGNORE].argmax())
        raise InputError(f"the labels of frame {frame.name} hold {value} in {counts[value]} pixels: classes are 0 to "
                         f"{classes - 1}, and {IGNORE} ignores")  # fmt: skip
    return counts


def _check_rest(frame: ClipFrame, size: tuple[int, int]) -> None:
    if frame.instances is not None and (shape := frame.instances().shape) != size:
        raise InputError(f"the instances of frame {frame.name} are {_size(shape)}, the frame is {_size(size)}")
    if frame.flow is not None:
        flow = frame.flow()
        if flow.shape != (2, *size):
            raise InputError(f"the flow of frame {frame.name} is {list(flow.shape)}, not [2,{size[0]},{size[1]}]")
        if not np.isfinite(flow).all():
            raise InputError(f"the flow of frame {frame.name} holds values that are not finite")


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}×{shape[0]}" if len(shape) == 2 else str(list(shape))


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"
