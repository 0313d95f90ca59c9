"""Segment a video as a stream: read a frame, estimate its motion, run the network, yield its labels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from netwarp.inference.motion_stage import PreparedFrame, prepare_frames
from netwarp.inference.sliding import Sliding
from netwarp.inference.stream_model import StreamModel
from netwarp.inference.threads import Prefetcher, Staging, ThreadBudget, opencv_on_one_thread
from netwarp.model import VideoModel
from netwarp.model.inputs import base_device
from netwarp.model.outputs import labels_of
from netwarp.video.open import open_frames
from netwarp.video.source import Frame, FrameSource

log = logging.getLogger("netwarp")

Item = TypeVar("Item")

THREADS = ThreadBudget()
"""The CPU threads of this process, shared by all its streams."""


@dataclass(frozen=True, eq=False)
class Segmented:
    """A frame and its labels.

    Attributes:
        index: Position in the video, from 0.
        time: Seconds since the first frame.
        name: The image file's stem; None for video.
        frame: RGB uint8 ``[H,W,3]``.
        labels: ``[H,W]``, indices into ``model.classes``; uint8, or int32 with more than 256 classes.
        fresh: Why this frame starts a new state: ``"first frame"``, ``"scene cut"``, ``"change of size"``; else None.
        base_labels: The labels of the network frame by frame, with ``compare``.
    """

    index: int
    time: float
    name: str | None
    frame: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.integer]
    fresh: str | None
    base_labels: npt.NDArray[np.integer] | None = None


def segment(
    source: str | Path | int | FrameSource,
    model: VideoModel | Sliding | nn.Module,
    *,
    detect_cuts: bool = True,
    compare: bool = False,
    overlap: bool = True,
) -> Iterator[Segmented]:
    """Segment a video frame by frame, in memory that does not grow with its length.

    Reading and flow have their own threads, which are a frame or two ahead of the network. They start with the first
    result and end with the last, or when the iterator is closed or dropped. Streams in several threads of a process can
    share one model, and divide a CPU's cores between them.

    A scene cut or a change of size starts a new state, and is logged (``logging.getLogger("netwarp")``). The model is
    put into evaluation mode.

    Args:
        source: A video file, a folder or glob of images, a camera's index or a stream's URL
            (:func:`netwarp.video.open.open_frames`), or an open source.
        model: A video model, one in windows, or any network, which gets the mode that needs no training.
        detect_cuts: Detect scene cuts.
        compare: Also segment each frame on its own (in windows, if the model is), at the price of another pass.
        overlap: Read and estimate flow on other threads; else all runs on the caller's, and a frame is read when it is
            needed.

    Yields:
        A result for each frame, in order.

    Raises:
        InputError: The source cannot be read.
        ConfigurationError: The network cannot be made a video model.
    """
    # Not part of the generator, so that errors are raised at the call and not at the first frame.
    video = model if isinstance(model, (VideoModel, Sliding)) else VideoModel(model, training_free=True)
    single = video.without_memory() if compare else None
    frames = source if isinstance(source, FrameSource) else open_frames(source)
    video.eval()
    return _segment(frames, video, single, detect_cuts, overlap)


def _segment(
    frames: FrameSource, video: StreamModel, single: StreamModel | None, detect_cuts: bool, overlap: bool
) -> Iterator[Segmented]:
    staging = Staging(base_device(video.base))
    with frames, ExitStack() as threads:
        turn: Callable[[], AbstractContextManager[None]] = nullcontext
        if staging.device.type == "cpu":
            threads.enter_context(THREADS.stream())
            turn = THREADS.turn
        if overlap:
            threads.enter_context(opencv_on_one_thread())

        def on_a_thread(items: Iterator[Item], name: str) -> Iterator[Item]:
            if not overlap:
                return items
            stages.append(threads.enter_context(Prefetcher(items, name=f"netwarp-{name}")))
            return stages[-1]

        stages: list[Prefetcher[Any]] = []
        read = on_a_thread(_owned(frames), "reading")
        prepared = on_a_thread(prepare_frames(read, video, detect_cuts, staging), "flow")
        for stage in stages:
            threads.callback(stage.stop)  # all, before any of them is waited for
        yield from _through_network(prepared, video, single, staging, turn)
    if frames.loss:
        log.warning("%s", frames.loss)


def _owned(frames: FrameSource) -> Iterator[Frame]:
    """Copy frames, since a source may fill one array again and again."""
    for frame in frames:
        yield replace(frame, image=frame.image.copy())


def _through_network(
    frames: Iterator[PreparedFrame],
    video: StreamModel,
    single: StreamModel | None,
    staging: Staging,
    turn: Callable[[], AbstractContextManager[None]],
) -> Iterator[Segmented]:
    state: Any = None
    for prepared in frames:
        if prepared.fresh:
            state = None  # at once: a state in windows is large
        with torch.no_grad(), turn():
            staging.join(prepared.mark)
            logits, after = video.step(prepared.image, state, prepared.motion)
            on_device = [_labels(logits)]
            del logits
            if single is not None:
                on_device.append(_labels(single.step(prepared.image)[0]))
            labels = [each.numpy() for each in staging.download(*on_device)]
        state = after  # not before: see Staging
        frame, fresh = prepared.frame, prepared.fresh
        del prepared, after
        yield Segmented(frame.index, frame.time, frame.name, frame.image, labels[0], fresh, *labels[1:])


def _labels(logits: Tensor) -> Tensor:
    labels = labels_of(logits)[0]
    return labels.to(torch.uint8 if logits.shape[1] <= 256 else torch.int32)
