"""The flow of a clip's frames, found once for all who want the same."""

from __future__ import annotations

import time
from collections.abc import Hashable

import torch
from torch import Tensor

from netwarp.data.clips import Clip
from netwarp.errors import InputError
from netwarp.flow import FlowEstimator, PrecomputedFlow, TrueFlow

__all__ = ["ClipFlow", "wait_for"]


class ClipFlow:
    """Flow from each frame of a clip to the one before it. What was found for a frame is kept until the next.

    Args:
        clip: The clip.
        alone: Whether it is the only one of its data set: only then may a folder of precomputed flow hold no
            sub-folders.
    """

    def __init__(self, clip: Clip, alone: bool = False) -> None:
        self.clip = clip
        self.alone = alone
        self._folders: dict[int, PrecomputedFlow] = {}
        self._position: int | None = None
        self._found: dict[Hashable, tuple[Tensor, float]] = {}

    def of(self, flow: FlowEstimator, position: int, current: Tensor, previous: Tensor) -> tuple[Tensor, float]:
        """Flow of a frame, by an estimator. Estimators with equal ``spec`` are the same.

        Args:
            flow: The estimator. ``"true"`` is the flow that the clip knows, precomputed flow that of the clip's folder.
            position: Of the frame in its clip.
            current: The frame, uint8 ``[1,3,H,W]``.
            previous: The one before it, on the same device.

        Returns:
            ``[1,2,H,W]``, backward, pixels, on the frames' device; and the seconds that it took when it was estimated
            (0 for the true flow, which nobody has to estimate).

        Raises:
            InputError: The flow is not known, or is that of another clip or size.
        """
        if position != self._position:
            self._position, self._found = position, {}
        key = (getattr(flow, "spec", None) or id(flow), current.device)
        if key not in self._found:
            self._found[key] = self._find(flow, position, current, previous)
        return self._found[key]

    def _find(self, flow: FlowEstimator, position: int, current: Tensor, previous: Tensor) -> tuple[Tensor, float]:
        if isinstance(flow, TrueFlow):
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
