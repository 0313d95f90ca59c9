"""The frames of a clip as they are shown to models, each read once and only if somebody looks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netwarp.data.clips import Clip, ClipFrame, LabelMap
from netwarp.engine.clip_flow import ClipFlow
from netwarp.engine.tally import Truth
from netwarp.errors import InputError
from netwarp.flow import FlowEstimator
from netwarp.model.frames import as_frames

__all__ = ["Shown", "runs_of", "show"]

CPU = torch.device("cpu")


class Shown:
    """A frame of a clip, and a look at the one before it.

    Attributes:
        clip: The clip.
        position: The frame's in it.
        before: The frame that was shown before it; None where the frame is the first of its run.
    """

    def __init__(self, clip: Clip, position: int, before: Shown | None, flows: ClipFlow) -> None:
        self.clip = clip
        self.position = position
        self.before = before
        self._flows = flows
        self._images: dict[torch.device, Tensor] = {}
        self._truths: dict[torch.device, Truth] = {}

    @property
    def frame(self) -> ClipFrame:
        """What the data set says of it."""
        return self.clip.frames[self.position]

    def image(self, device: torch.device) -> Tensor:
        """The frame, uint8 ``[1,3,H,W]``."""
        if device not in self._images:
            source = as_frames(self.frame.image(), CPU) if device == CPU else self.image(CPU)
            self._images[device] = source.to(device)
        return self._images[device]

    def flow(self, estimator: FlowEstimator, device: torch.device) -> tuple[Tensor, float] | None:
        """Flow to the frame before, as :meth:`ClipFlow.of`; None where there is none, or one of another size."""
        if self.before is None:
            return None
        current, previous = self.image(device), self.before.image(device)
        if current.shape != previous.shape:
            return None
        return self._flows.of(estimator, self.position, current, previous)

    @cached_property
    def labels(self) -> LabelMap | None:
        """What people say of the frame, uint8 ``[H,W]``, 255 = ignore; None where nobody labelled it."""
        return None if self.frame.labels is None else self.frame.labels()

    def truth(self, size: tuple[int, int], device: torch.device) -> Truth | None:
        """The frame's labels, and its instances where they are known; None where nobody labelled it.

        Args:
            size: (height, width) that they must have.
            device: Where they are needed.

        Raises:
            InputError: They cannot be read, hold what is no class, or have another size.
        """
        if self.labels is None:
            return None
        if device not in self._truths:
            self._truths[device] = self._read_truth(self.labels, size, device)
        return self._truths[device]

    def _read_truth(self, labels: LabelMap, size: tuple[int, int], device: torch.device) -> Truth:
        instances = None if self.frame.instances is None else self.frame.instances()
        for what, values in (("labels", labels), ("instances", instances)):
            if values is not None and values.shape != size:
                raise InputError(
                    f"the {what} of frame {self.frame.name} are {values.shape[1]}×{values.shape[0]}, "
                    f"but it is {size[1]}×{size[0]}: they must have the frame's size"
                )
        return Truth(_as_tensor(labels).to(device), None if instances is None else _as_tensor(instances).to(device))


def _as_tensor(values: NDArray[np.integer]) -> Tensor:
    return torch.from_numpy(values.astype(np.int64))


def runs_of(clip: Clip, history: int | None) -> list[range]:
    """The stretches of a clip that have to be shown.

    Args:
        clip: The clip.
        history: How many frames before each labelled frame are shown; None shows the whole clip.

    Returns:
        Positions in the clip, in order, with a gap between each two stretches.
    """
    if history is None:
        return [range(len(clip.frames))] if clip.frames else []
    runs: list[range] = []
    for position, frame in enumerate(clip.frames):
        if frame.labels is None:
            continue
        first = max(0, position - history)
        if runs and first <= runs[-1].stop:
            first = runs.pop().start
        runs.append(range(first, position + 1))
    return runs


def show(clip: Clip, run: range, flows: ClipFlow) -> Iterator[Shown]:
    """The frames of a run in order."""
    shown: Shown | None = None
    for position in run:
        if shown is not None:
            shown.before = None  # or every frame of the clip would stay in memory
        shown = Shown(clip, position, shown, flows)
        yield shown
