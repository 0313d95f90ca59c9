"""A video through a video model: read a frame, segment it, hand it on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from netwarp.data.frames import Frame, FrameSource, open_frames
from netwarp.engine.cuts import is_cut
from netwarp.engine.labels import labels_of
from netwarp.engine.sliding import Sliding
from netwarp.engine.sliding_state import SlidingState
from netwarp.engine.stream_model import StreamModel
from netwarp.model import VideoModel, VideoState
from netwarp.model.frames import as_frames
from netwarp.model.probe import base_device

__all__ = ["Segmented", "segment"]

log = logging.getLogger("netwarp")


@dataclass(frozen=True, eq=False)
class Segmented:
    """A frame and its labels.

    Attributes:
        index: Position in the video, from 0.
        time: Seconds since the first frame.
        name: The image file's stem; None for video.
        frame: RGB uint8 ``[H,W,3]``.
        labels: ``[H,W]``, indices into ``model.classes``; uint8, or int32 with more than 256 classes.
        fresh: Why this frame knows nothing of the one before: ``"first frame"``, ``"scene cut"``,
            ``"change of size"``; None where it does.
        base_labels: What the network says frame by frame, where that was asked for.
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
) -> Iterator[Segmented]:
    """Segment a video frame by frame, in memory that does not grow with its length.

    A scene cut and a change of size start anew, as a first frame does; the log (``logging.getLogger("netwarp")``) says
    so. The model is put into evaluation mode.

    Args:
        source: A video file, a folder or glob of images, a camera's index or a stream's URL
            (:func:`netwarp.data.frames.open_frames`), or an open source.
        model: A video model, one in windows, or any network, which gets the mode that needs no training.
        detect_cuts: Look for scene cuts.
        compare: Also segment each frame on its own (in windows, if the model is), at the price of another pass.

    Yields:
        A result for each frame, in order.

    Raises:
        InputError: the source cannot be read.
        ConfigurationError: the network cannot be made a video model.
    """
    # Not part of the generator, so that what is wrong is said at the call and not at the first frame.
    video = model if isinstance(model, (VideoModel, Sliding)) else VideoModel(model, training_free=True)
    single = _frame_by_frame(video) if compare else None
    frames = source if isinstance(source, FrameSource) else open_frames(source)
    video.eval()
    return _segment(frames, video, single, detect_cuts)


def _frame_by_frame(video: VideoModel | Sliding) -> StreamModel:
    if isinstance(video, Sliding):
        return video.over(_without_memory(video.model))
    return _without_memory(video)


def _without_memory(video: VideoModel) -> VideoModel:
    return VideoModel(video.base, layers=[], preprocess=video.preprocess, example_size=video.example_size)


def _segment(
    frames: FrameSource, video: StreamModel, single: StreamModel | None, detect_cuts: bool
) -> Iterator[Segmented]:
    state: VideoState | SlidingState | None = None
    with frames:
        for frame in frames:
            image = as_frames(frame.image, base_device(video.base))
            fresh, flow = _look_back(frame, image, state, video, detect_cuts)
            if fresh:
                state = None  # at once: a state in windows is large
            with torch.no_grad():
                logits, state = video.step(image, state, flow)
                labels = _labels(logits)
                base_labels = None if single is None else _labels(single.step(image)[0])
            yield Segmented(frame.index, frame.time, frame.name, frame.image, labels, fresh, base_labels)
    if frames.loss:
        log.warning("%s", frames.loss)


def _look_back(
    frame: Frame, image: Tensor, state: VideoState | SlidingState | None, video: StreamModel, detect_cuts: bool
) -> tuple[str | None, Tensor | None]:
    """Why a frame has to start anew, or the flow to the frame before it."""
    if state is None:
        return "first frame", None
    if state.frame.shape != image.shape:
        height, width = image.shape[-2:]
        log.info("frame %d: the size changes to %d×%d: a new state starts", frame.index, width, height)
        return "change of size", None
    if not video.layers:
        return None, None
    flow = video.estimate_flow(image, state.frame, frame.index)
    if detect_cuts and is_cut(image, state.frame, flow):
        log.info("frame %d: scene cut at %.2f s: a new state starts", frame.index, frame.time)
        return "scene cut", None
    return None, flow


def _labels(logits: Tensor) -> npt.NDArray[np.integer]:
    labels = labels_of(logits)[0]
    return labels.to(torch.uint8 if logits.shape[1] <= 256 else torch.int32).cpu().numpy()
