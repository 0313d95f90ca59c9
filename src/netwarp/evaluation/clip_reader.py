"""The frames of a clip as they are shown to models, each read once and only if somebody looks."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from netwarp.datasets.clips import Clip, ClipFrame
from netwarp.errors import InputError
from netwarp.flow import FlowSource, PrecomputedFlow, spec_of
from netwarp.label_sets import LabelMap
from netwarp.model.inputs import as_frames

__all__ = ["CachedFrame", "ClipFlow", "read_run", "runs_of", "wait_for"]


class ClipFlow:
    """Flow from each frame of a clip to the one before it. What was found for a frame is kept until the next."""

    def __init__(self, clip: Clip, alone: bool = False) -> None:
        self.clip = clip
        self.alone = alone
        self._folders: dict[int, PrecomputedFlow] = {}
        self._position: int | None = None
        self._found: dict[Hashable, tuple[Tensor, float]] = {}

    def of(self, flow: FlowSource, position: int, current: Tensor, previous: Tensor) -> tuple[Tensor, float]:
        """Flow of a frame, by an estimator. Estimators with equal ``spec`` are the same."""
        if position != self._position:
            self._position, self._found = position, {}
        key = (spec_of(flow) or id(flow), current.device)
        if key not in self._found:
            self._found[key] = self._find(flow, position, current, previous)
        return self._found[key]

    def _find(self, flow: FlowSource, position: int, current: Tensor, previous: Tensor) -> tuple[Tensor, float]:
        if isinstance(flow, str):
            return self._true(position, current), 0.0
        if isinstance(flow, PrecomputedFlow):
            flow = self._in_clip(flow)
        wait_for(current.device)
        began = time.perf_counter()
        found = flow(current, previous, position)
        wait_for(current.device)
        return found, time.perf_counter() - began

    def _true(self, position: int, current: Tensor) -> Tensor:
        frame = self.clip.frames[position]
        if frame.flow is None:
            raise InputError(
                f"the true flow of frame {frame.name} is not known: rendered clips know theirs; "
                "estimate it, with flow 'dis'"
            )
        flow = torch.from_numpy(frame.flow())[None]
        if flow.shape[-2:] != current.shape[-2:]:
            raise InputError(
                f"the true flow of frame {frame.name} is {list(flow.shape)}, but the frame {_size(current)}"
            )
        return flow.to(current.device)

    def _in_clip(self, flow: PrecomputedFlow) -> PrecomputedFlow:
        if self.alone and not (flow.folder / self.clip.name).is_dir():
            return flow
        if id(flow) not in self._folders:
            self._folders[id(flow)] = flow.in_clip(self.clip.name)
        return self._folders[id(flow)]


def wait_for(device: torch.device) -> None:
    """Wait until a device has done what it was given: its time is taken by the clock on the wall."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _size(frame: Tensor) -> str:
    return f"{frame.shape[-1]}×{frame.shape[-2]}"


CPU = torch.device("cpu")


class CachedFrame:
    """A frame of a clip, and a look at the one before it.

    Attributes:
        clip: The clip.
        position: The frame's in it.
        before: The frame that was shown before it; None where the frame is the first of its run.
    """

    def __init__(self, clip: Clip, position: int, before: CachedFrame | None, flows: ClipFlow) -> None:
        self.clip = clip
        self.position = position
        self.before = before
        self._flows = flows
        self._images: dict[torch.device, Tensor] = {}
        self._truths: dict[torch.device, dict[str, Tensor]] = {}

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

    def flow(self, estimator: FlowSource, device: torch.device) -> tuple[Tensor, float] | None:
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

    def truth(self, size: tuple[int, int], device: torch.device) -> dict[str, Tensor]:
        """Its ``target`` and ``instances``, int64 ``[1,H,W]`` each, as far as they are known."""
        if device not in self._truths:
            self._truths[device] = {}
            instances = None if self.frame.instances is None or self.labels is None else self.frame.instances()
            for name, what, values in (("target", "labels", self.labels), ("instances", "instances", instances)):
                if values is None:
                    continue
                if values.shape != size:
                    raise InputError(
                        f"the {what} of frame {self.frame.name} are {values.shape[1]}×{values.shape[0]}, "
                        f"but it is {size[1]}×{size[0]}: they must have the frame's size"
                    )
                self._truths[device][name] = torch.from_numpy(values.astype(np.int64))[None].to(device)
        return self._truths[device]


def runs_of(clip: Clip, history: int | None) -> list[range]:
    """The stretches of a clip that have to be shown."""
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


def read_run(clip: Clip, run: range, flows: ClipFlow) -> Iterator[CachedFrame]:
    """The frames of a run in order."""
    shown: CachedFrame | None = None
    for position in run:
        if shown is not None:
            shown.before = None  # or every frame of the clip would stay in memory
        shown = CachedFrame(clip, position, shown, flows)
        yield shown
