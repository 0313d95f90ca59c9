"""Answers that another program saved, frame by frame, in the place of a network: to steady them, or to fill gaps."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from netwarp.errors import InputError
from netwarp.inference.keyframes import Doubt
from netwarp.label_sets import IGNORE, Colour, LabelSet, voc_colour
from netwarp.model import Preprocess, VideoModel, VideoState
from netwarp.model.task import Task
from netwarp.video.label_maps import is_label_map, read_classes, read_mask

SURE = 4.0
"""What a saved label counts as: the logit of its class, where those of the others are 0."""

NOTHING = 0.05
"""What a pixel without a label counts as: the logit of none, which any label that memory brings there exceeds."""

LEAST = 1e-6
"""Saved probabilities below this count as this much."""


def saved_files(folder: str | Path, names: Sequence[str] | None) -> dict[int, Path]:
    """The files of a folder by the number of their frame: label maps, or probabilities ``[C,H,W]`` (.npy).

    With ``names``, those of a video's images in order, a file has its frame's name; else the last number in its name
    is its frame's, from 0.
    """
    place = Path(folder)
    if not place.is_dir():
        raise InputError(f"there is no folder {place} of label maps")
    number_of = None if names is None else {name: number for number, name in enumerate(names)}
    found: dict[int, Path] = {}
    for path in sorted(place.iterdir()):
        if not is_label_map(path) and (path.suffix.lower() != ".npy" or path.name.startswith(".")):
            continue
        digits = re.findall(r"\d+", path.stem)
        number = number_of.get(path.stem) if number_of is not None else int(digits[-1]) if digits else None
        if number is None:
            continue
        if number in found:
            raise InputError(f"{found[number].name} and {path.name} in {place} are of one frame: keep one of them")
        found[number] = path
    if not found:
        how = "named as the images" if names is not None else "with the number of its frame in its name, as 000012.png"
        raise InputError(f"{place} holds no label map (.png, .tif, .bmp) or probabilities (.npy) {how}")
    return found


def classes_in(files: Mapping[int, Path], values: Mapping[int, int] | None = None) -> tuple[int, bool]:
    """The number of classes that saved answers tell, and whether there are pixels without a label.

    Classes are channels of probabilities, or the largest label and one. ``values`` are as in :func:`.read_mask`.
    """
    first = next(iter(files.values()))
    if first.suffix.lower() == ".npy":
        return int(_array(first).shape[0]), False
    largest, gaps = 0, False
    for path in files.values():
        labels = read_mask(path, values)
        known = labels[labels != IGNORE]
        largest, gaps = max(largest, int(known.max(initial=0))), gaps or known.size < labels.size
    return largest + 1, gaps


def palette_in(files: Mapping[int, Path], classes: int) -> list[Colour]:
    """The colours of the first label map, or PASCAL VOC's where it has none."""
    first = next(iter(files.values()))
    if is_label_map(first):
        with PIL.Image.open(first) as picture:
            if picture.mode == "P" and (values := picture.getpalette()) and len(values) >= 3 * classes:
                return [(values[3 * i], values[3 * i + 1], values[3 * i + 2]) for i in range(classes)]
    return [voc_colour(index) for index in range(classes)]


class SavedClasses(Task):
    """Classes, and behind them one for pixels of which nothing was said."""

    def named(self, names: Sequence[str] | None, palette: Sequence[Colour] | None) -> LabelSet:
        """Names and colours of the classes alone."""
        return Task(self.outputs - 1).named(names, palette)

    def handed_out(self, labels: Tensor) -> Tensor:
        """Labels, and :data:`.IGNORE` where still nothing is known."""
        return labels.masked_fill(labels == self.outputs - 1, IGNORE)


class SavedAnswers(nn.Module):
    """Answers in files, as a network that is told which frame it is asked about (:attr:`number`).

    With ``gaps`` it has an output more (:class:`SavedClasses`).
    """

    preprocess = Preprocess((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))

    def __init__(
        self, files: Mapping[int, Path], classes: int, values: Mapping[int, int] | None = None, *, gaps: bool = False
    ) -> None:
        super().__init__()
        self.files, self.count, self._values = dict(files), classes, values
        self.task = SavedClasses(classes + 1) if gaps else Task(classes)
        self.number: int | None = None
        self.eval()

    def forward(self, frames: Tensor) -> Tensor:
        """Return the logits ``[1,classes,H,W]`` that were saved; 0 before any frame is named."""
        batch, _, h, w = frames.shape
        if self.number is None:
            return frames.new_zeros(batch, self.task.outputs, h, w)
        path = self.files.get(self.number)
        if path is None:
            folder = next(iter(self.files.values())).parent
            raise InputError(
                f"{folder} has nothing of frame {self.number}, which starts anew (a scene cut, or another size): "
                "save an answer there too"
            )
        logits = self._probabilities(path) if path.suffix.lower() == ".npy" else self._labels(path)
        if logits.shape[1:] != (h, w):
            raise InputError(
                f"{path} is {logits.shape[2]}×{logits.shape[1]}, but its frame {w}×{h}: give maps of its size"
            )
        return logits[None]

    def _labels(self, path: Path) -> Tensor:
        labels = torch.from_numpy(read_classes(path, self.count, values=self._values).astype(np.int64))
        logits = torch.zeros(self.count + 1, *labels.shape)
        where = torch.where(labels == IGNORE, self.count, labels)
        logits.scatter_(0, where[None], SURE)
        logits[-1].mul_(NOTHING / SURE)
        return logits[: self.task.outputs]

    def _probabilities(self, path: Path) -> Tensor:
        values = _array(path)
        if values.shape[0] != self.count:
            raise InputError(f"{path} has {values.shape[0]} channels, but there are {self.count} classes")
        without = np.zeros((self.task.outputs - self.count, *values.shape[1:]), np.float32)
        return torch.from_numpy(np.log(np.maximum(np.concatenate([values, without]), LEAST)))


def _array(path: Path) -> NDArray[np.float32]:
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} cannot be read as an array ({' '.join(str(error).split())}): replace it") from error
    if values.ndim != 3 or not np.issubdtype(values.dtype, np.floating) or not np.isfinite(values).all():
        raise InputError(f"{path} holds {values.dtype} {list(values.shape)}: probabilities are finite floats [C,H,W]")
    if values.min() < 0 or values.max() > 1.001:
        raise InputError(f"{path} holds values of {values.min():.3g} to {values.max():.3g}: probabilities are 0 to 1")
    probabilities: NDArray[np.float32] = values.astype(np.float32, copy=False)
    return probabilities


class SteadiedAnswers(VideoModel):
    """Saved answers with the memory that needs no training."""

    base: SavedAnswers

    def step(self, *frame_and_state: Any, index: int | None = None, **options: Any) -> tuple[Tensor, VideoState]:  # noqa: ANN401
        """As :meth:`.VideoModel.step`, of the frame with that number."""
        self.base.number = index
        return super().step(*frame_and_state, index=index, **options)


class WhereSaved:
    """Keyframes where an answer was saved, however far apart they are."""

    patient = True

    def __init__(self, files: Mapping[int, Path]) -> None:
        self._numbers = set(files)

    def __call__(self, seen: Doubt) -> bool:
        return seen.index in self._numbers
