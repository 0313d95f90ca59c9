"""The frames of a clip with their flow and labels, each read once, when it is first needed."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable, Iterator
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from netwarp.datasets.clips import Clip
from netwarp.errors import InputError
from netwarp.flow import FlowSource, PrecomputedFlow, spec_of
from netwarp.label_sets import LabelMap
from netwarp.model.gates import PhotometricGate, forward_backward_error
from netwarp.model.inputs import as_frames


class ClipFlow:
    """Finds the flow from each frame of a clip to the one before it."""

    def __init__(self, clip: Clip, alone: bool = False) -> None:
        self.clip = clip
        self.alone = alone
        self._folders: dict[int, PrecomputedFlow] = {}

    def of(self, flow: FlowSource, position: int, current: Tensor, previous: Tensor) -> tuple[Tensor, float]:
        """Flow ``[1,2,H,W]`` and the seconds that it took."""
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
                f"the true flow of frame {frame.name} is not known, as only rendered clips have it: "
                "estimate it, with flow 'dis'"
            )
        flow = torch.from_numpy(frame.flow())[None]
        if flow.shape[-2:] != current.shape[-2:]:
            raise InputError(
                f"the true flow of frame {frame.name} is {list(flow.shape)}, but the frame {list(current.shape)}"
            )
        return flow.to(current.device)

    def _in_clip(self, flow: PrecomputedFlow) -> PrecomputedFlow:
        if self.alone and not (flow.folder / self.clip.name).is_dir():
            return flow
        if id(flow) not in self._folders:
            self._folders[id(flow)] = flow.in_clip(self.clip.name)
        return self._folders[id(flow)]


def wait_for(device: torch.device) -> None:
    """Wait until a device has finished its queued work, before a clock is read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


CPU = torch.device("cpu")


class CachedFrame:
    """A ``frame`` of a clip, read when needed; ``before`` is the one before it in its run, or None."""

    def __init__(self, clip: Clip, position: int, before: CachedFrame | None, flows: ClipFlow) -> None:
        self.frame = clip.frames[position]
        self.position = position
        self.before = before
        self._flows = flows
        self._images: dict[torch.device, Tensor] = {}
        self._found: dict[Hashable, tuple[Tensor, float] | None] = {}
        self._truths: dict[torch.device, dict[str, Tensor]] = {}
        self._visible: Tensor | None = None

    def image(self, device: torch.device) -> Tensor:
        """The frame, uint8 ``[1,3,H,W]``."""
        if device not in self._images:
            source = as_frames(self.frame.image(), CPU) if device == CPU else self.image(CPU)
            self._images[device] = source.to(device)
        return self._images[device]

    def flow(self, estimator: FlowSource, device: torch.device) -> tuple[Tensor, float] | None:
        """Flow to the frame before, as :meth:`ClipFlow.of`; None if there is no such frame of this size.

        Estimators with equal ``spec`` share one result, which the frame keeps.
        """
        key = (spec_of(estimator) or id(estimator), device)
        if key not in self._found:
            found = None
            if self.before is not None:
                current, previous = self.image(device), self.before.image(device)
                if current.shape == previous.shape:
                    found = self._flows.of(estimator, self.position, current, previous)
            self._found[key] = found
        return self._found[key]

    def visible(self, estimator: FlowSource) -> Tensor | None:
        """Where the frame before shows a pixel too, by flow there and back (bool ``[1,H,W]``); None if not known."""
        backward = self.flow(estimator, CPU)
        if backward is None or isinstance(estimator, (str, PrecomputedFlow)):
            return None
        if self._visible is None:
            assert self.before is not None  # where there is flow
            forward = estimator(self.before.image(CPU), self.image(CPU), None)
            self._visible = forward_backward_error(backward[0], forward)[:, 0] <= 1
        return self._visible

    def trust(self, flow: Tensor) -> Tensor:
        """The photometric gate's trust ``[1,1,H,W]`` in the flow to the frame before."""
        assert self.before is not None  # which the flow leads to
        return PhotometricGate()(self.image(CPU), self.before.image(CPU), flow)

    @cached_property
    def labels(self) -> LabelMap | None:
        """Its label map, uint8 ``[H,W]``, 255 = ignore; None if it has none."""
        return None if self.frame.labels is None else self.frame.labels()

    def truth(self, size: tuple[int, int], device: torch.device) -> dict[str, Tensor]:
        """Its ``target``, ``annotation`` and ``instances``, int64 ``[1,H,W]`` each, as far as they are known."""
        if device not in self._truths:
            self._truths[device] = {}
            instances = None if self.frame.instances is None or self.labels is None else self.frame.instances()
            annotation = None if self.frame.annotation is None else self.frame.annotation()
            known = (
                ("target", "labels", self.labels),
                ("annotation", "labels", annotation),
                ("instances", "instances", instances),
            )
            for name, what, values in known:
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
    """The runs of frames that labelled ones need, each with ``history`` frames before it; the whole clip for None."""
    if history is None:
        return [range(len(clip.frames))] if clip.frames else []
    labelled = [position for position, frame in enumerate(clip.frames) if frame.labels is not None]
    return joined(range(max(0, position - history), position + 1) for position in labelled)


def joined(ranges: Iterable[range]) -> list[range]:
    """Join ascending ranges that overlap or touch.

    >>> joined([range(2), range(2, 4), range(7, 9)])
    [range(0, 4), range(7, 9)]
    """
    runs: list[range] = []
    for each in ranges:
        start = runs.pop().start if runs and each.start <= runs[-1].stop else each.start
        runs.append(range(start, each.stop))
    return runs


def read_run(clip: Clip, run: range, flows: ClipFlow) -> Iterator[CachedFrame]:
    """Yield the frames of a run in order."""
    frame: CachedFrame | None = None
    for position in run:
        if frame is not None:
            frame.before = None  # or every frame of the clip would stay in memory
        frame = CachedFrame(clip, position, frame, flows)
        yield frame
