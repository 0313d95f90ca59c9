"""From frame to frame, before the network sees them: is it a new scene, and if not, what moved where?"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from netwarp.inference.cuda_staging import Staging
from netwarp.inference.scene_cuts import Cuts
from netwarp.inference.stream_model import StreamModel
from netwarp.model.inputs import as_frames, check_flow
from netwarp.video.source import Frame

__all__ = ["PreparedFrame", "prepare_frames"]

log = logging.getLogger("netwarp")

CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class PreparedFrame:
    """A frame, ready for the network.

    Attributes:
        frame: As it was read.
        image: ``[1,3,H,W]`` uint8, on the network's device.
        fresh: Why the frame knows nothing of the one before: ``"first frame"``, ``"scene cut"``, ``"change of size"``;
            None where it does.
        motion: What leads from the frame before to this one, for :meth:`.StreamModel.step`; None where the frame is
            fresh, or the network has no memory.
        mark: For :meth:`.Staging.join`.
    """

    frame: Frame
    image: Tensor
    fresh: str | None
    motion: Any
    mark: Any


def prepare_frames(
    frames: Iterable[Frame], video: StreamModel, detect_cuts: bool, staging: Staging
) -> Iterator[PreparedFrame]:
    """Find out what each frame has to do with the one before it: all that needs no network."""
    # Flow that is computed on the CPU anyway needs no frames back from a GPU.
    on_host = getattr(video.flow, "on_cpu", False)
    cuts = Cuts() if detect_cuts else None
    last: tuple[Tensor, Tensor] | None = None
    for frame in frames:
        with torch.no_grad(), staging.aside():
            host = as_frames(frame.image, CPU)
            image = staging.upload(host)
            looked_at = host if on_host else image
            fresh, flow = _compare(frame, looked_at, None if last is None else last[0], video, cuts)
            motion = None
            if flow is not None and last is not None:
                motion = video.estimate_motion(image, last[1], staging.upload(flow), frame.index)
            seen = PreparedFrame(frame, image, fresh, motion, staging.mark())
        last = looked_at, image
        yield seen
        del seen, motion, flow, image, host, looked_at  # not beside what the next frame takes


def _compare(
    frame: Frame, image: Tensor, previous: Tensor | None, video: StreamModel, cuts: Cuts | None
) -> tuple[str | None, Tensor | None]:
    """Why a frame has to start anew, or the flow to the frame before it."""
    if previous is None:
        return "first frame", None
    if previous.shape != image.shape:
        height, width = image.shape[-2:]
        log.info("frame %d: the size changes to %d×%d: a new state starts", frame.index, width, height)
        return "change of size", None
    if not video.layers:
        return None, None
    flow = check_flow(video.flow(image, previous, frame.index), image)
    if cuts is not None and cuts.between(image, previous, flow, index=frame.index, time=frame.time):
        return "scene cut", None
    return None, flow
