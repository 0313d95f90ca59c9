"""Segment a video as a stream: read a frame, estimate its motion, run the network, yield its labels.

Each stage has a thread of its own. The motion's also looks for scene cuts, after which memory starts anew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netwarp.flow.registry import only_in_clips
from netwarp.inference.sliding import Sliding
from netwarp.inference.stream_model import StreamModel
from netwarp.inference.threads import Prefetcher, Staging, ThreadBudget, opencv_on_one_thread
from netwarp.model import VideoModel
from netwarp.model.inputs import as_frames, base_device, check_flow, to_unit_range
from netwarp.model.netwarp import Flows
from netwarp.model.outputs import labels_of
from netwarp.ops import resize_flow, warp
from netwarp.video.open import open_frames
from netwarp.video.source import Frame, FrameSource

log = logging.getLogger("netwarp")

Item = TypeVar("Item")

THREADS = ThreadBudget()
"""The CPU threads of this process, shared by all its streams."""

CPU = torch.device("cpu")


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


@dataclass(frozen=True, eq=False)
class PreparedFrame:
    """A frame, ready for the network."""

    frame: Frame  # as it was read
    image: Tensor  # [1,3,H,W] uint8, on the network's device
    fresh: str | None  # why it starts anew: "first frame", "scene cut", "change of size"; None where it does not
    motion: Any  # for StreamModel.step; None where the frame is fresh, or the network has no memory
    mark: Any  # for Staging.join


def prepare_frames(
    frames: Iterable[Frame], video: StreamModel, detect_cuts: bool, staging: Staging
) -> Iterator[PreparedFrame]:
    """Find each frame's motion from the one before, or why it starts anew: all of a step that needs no network."""
    # Flow that is computed on the CPU anyway needs no frames back from a GPU.
    on_host = getattr(video.flow, "on_cpu", False)
    cuts = Cuts() if detect_cuts else None
    last: tuple[Tensor, Tensor] | None = None
    for frame in frames:
        with torch.no_grad(), staging.aside():
            host = as_frames(frame.image, CPU)
            image = staging.upload(host)
            for_flow = host if on_host else image
            fresh, flow = _compare(frame, for_flow, None if last is None else last[0], video, cuts)
            motion = None
            if flow is not None and last is not None:
                motion = video.estimate_motion(image, last[1], Flows(staging.upload(flow)), frame.index)
            prepared = PreparedFrame(frame, image, fresh, motion, staging.mark())
        last = for_flow, image
        yield prepared
        del prepared, motion, flow, image, host, for_flow  # not beside what the next frame takes


def _compare(
    frame: Frame, image: Tensor, previous: Tensor | None, video: StreamModel, cuts: Cuts | None
) -> tuple[str | None, Tensor | None]:
    """Why a frame has to start anew, or the checked flow ``[1,2,H,W]`` to the frame before it."""
    if previous is None:
        return "first frame", None
    if previous.shape != image.shape:
        height, width = image.shape[-2:]
        log.info("frame %d: the size changes to %d×%d: a new state starts", frame.index, width, height)
        return "change of size", None
    if not video.layers:
        return None, None
    if isinstance(video.flow, str):
        raise only_in_clips()
    flow = check_flow(video.flow(image, previous, frame.index), image)
    if cuts is not None and cuts.between(image, previous, flow, index=frame.index, time=frame.time):
        return "scene cut", None
    return None, flow


# Between what 'python benchmarks/cuts.py' prints of clips and of cuts. At 5 frames a second and below, as with motion
# too fast or too fine for it, flow itself begins to fail, and a new start is right: what is warped along such a flow is
# as wrong as another scene.
THRESHOLD = 0.12
# Where the picture is nearly flat (fog, a wall, black), noise is all its variance: below this error it is no cut.
LEAST_ERROR = 0.02
# From so many transitions on, and such a share of them, it is likely that the flow fails and that these are no cuts.
TRANSITIONS, SHARE = 10, 0.3
# A flow that leaves the frame nearly everywhere leaves too little to judge by: then the border counts as well.
LEAST_SEEN = 0.25


class Cuts:
    """Finds scene cuts along a video, logs them, and warns once if they are too many to be cuts."""

    def __init__(self) -> None:
        self._looked = self._found = 0
        self._doubted = False

    def between(self, current: Tensor, previous: Tensor, flow: Tensor, *, index: int, time: float) -> bool:
        """Whether two frames that follow each other show different scenes."""
        self._looked += 1
        if not is_cut(current, previous, flow):
            return False
        self._found += 1
        log.info(
            "frame %d: scene cut at %.2f s (or motion that the flow cannot follow): a new state starts; --no-cuts goes "
            "on with the old one",
            index, time,
        )  # fmt: skip
        if not self._doubted and self._looked >= TRANSITIONS and self._found >= SHARE * self._looked:
            self._doubted = True
            log.warning(
                "%d of %d transitions look like scene cuts: if they are none, motion is too fast or too fine for the "
                "flow, and little is remembered (--no-cuts, in Python detect_cuts=False, looks for none)",
                self._found, self._looked,
            )  # fmt: skip
        return True


def is_cut(current: Tensor, previous: Tensor, flow: Tensor) -> bool:
    """Whether two frames ``[1,3,H,W]`` show different scenes, by the flow ``[1,2,H,W]`` between them."""
    share, error = unexplained(current, previous, flow)
    return share > THRESHOLD and error > LEAST_ERROR


def unexplained(current: Tensor, previous: Tensor, flow: Tensor) -> tuple[float, float]:
    """Share of the current frame's variance that the previous one, warped along the flow, leaves; and its RMS error.

    Brightness and contrast may differ (light changes, cameras adapt): the share is that left by the best gain and
    offset, 1 − r² with the correlation r of the two grey pictures. It is taken where the flow points into the previous
    frame: what a pan uncovers at the border is new, but no other scene.
    """
    present, past = _halved(_grey(current)), _halved(_grey(previous))
    flow = resize_flow(flow, (past.shape[-2], past.shape[-1])).to(past.dtype)
    # Warped at half the size and compared at a quarter: noise and texture that no flow aligns are averaged away, but
    # not the flow's fractions of a pixel, which would leave twice as much unexplained within clips.
    present, warped, within = (_halved(picture) for picture in (present, warp(past, flow), _within(flow)))
    seen = within > 0.5
    if seen.float().mean() < LEAST_SEEN:
        seen = torch.ones_like(seen)
    present, warped = present[seen], warped[seen]
    present, warped = present - present.mean(), warped - warped.mean()
    variance, other = float(present.square().mean()), float(warped.square().mean())
    covariance = float((present * warped).mean())
    # An inverted picture is not explained: only a positive gain counts.
    explained = max(covariance, 0.0) ** 2 / max(other, 1e-12)
    residual = max(variance - explained, 0.0)
    return residual / max(variance, 1e-12), residual**0.5


def _grey(frame: Tensor) -> Tensor:
    """``[1,3,H,W]`` to ``[1,1,H,W]``, the mean of the channels, 0–1; of uint8 no frame of floats is made on the way."""
    if frame.dtype == torch.uint8:
        return frame.sum(1, keepdim=True, dtype=torch.int16).float().div_(3 * 255)
    return to_unit_range(frame).mean(1, keepdim=True)


def _halved(picture: Tensor) -> Tensor:
    """A picture at half its size, rounded up: means of four pixels where the size is even."""
    size = (-(-picture.shape[-2] // 2), -(-picture.shape[-1] // 2))
    return F.interpolate(picture, size=size, mode="bilinear", align_corners=False)


def _within(flow: Tensor) -> Tensor:
    """``[B,1,H,W]``, 1 where a flow ``[B,2,H,W]`` points into the previous frame, else 0."""
    h, w = flow.shape[-2:]
    x = torch.arange(w, device=flow.device) + flow[:, 0]
    y = torch.arange(h, device=flow.device).unsqueeze(1) + flow[:, 1]
    return ((x >= -0.5) & (x <= w - 0.5) & (y >= -0.5) & (y <= h - 0.5)).unsqueeze(1).to(flow.dtype)
