"""Segment a video as a stream: read a frame, estimate its motion, run the network, yield its labels.

Each stage has a thread of its own. The motion's also looks for scene cuts, after which memory starts anew.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from netwarp.errors import ConfigurationError
from netwarp.flow.registry import only_in_clips
from netwarp.inference.keyframes import Cuts, KeyframePolicy, KeyframeTracker, is_other_scene
from netwarp.inference.labeller import EdgesChoice, Labelled, Labeller, labels_alone, make_edges
from netwarp.inference.lookahead import Delay, make_delay
from netwarp.inference.sliding import Sliding, StreamModel
from netwarp.inference.threads import Newest, Prefetcher, Staging, ThreadBudget, opencv_on_one_thread
from netwarp.inference.windows_in_turn import WindowsInTurn, windows_in_turn
from netwarp.model import VideoModel
from netwarp.model.inputs import as_frames, base_device, check_flow
from netwarp.model.netwarp import Flows
from netwarp.model.task import Task
from netwarp.video.open import PATIENCE, open_frames
from netwarp.video.source import Frame, FrameSource, SoundPacket

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
        labels: ``[H,W]``, indices into ``model.classes``; uint8, or int32 with more than 256 classes. Of a multilabel
            network ``[C,H,W]``, uint8, 1 where a label is there; of regression the values, float32, ``[H,W]``, or
            ``[C,H,W]`` of several outputs.
        fresh: Why this frame starts a new state: ``"first frame"``, ``"scene cut"``, ``"change of size"``; else None.
        base_labels: The labels of the network frame by frame, with ``compare``.
        keyframe: Whether the network ran on this frame; else its labels are those of the last keyframe, moved along.
        network: How much of it ran: 1 or 0, or the share of its windows where those take turns.
        confidence: ``[H,W]``, 0–1, on request: the probability that the model gives to the pixel's label.
        trust: ``[H,W]``, 0–1, on request: the gate's trust in what the memory (or the last keyframe) brought to the
            pixel; None where nothing was brought, or there is no gate.
        doubt: ``[H,W]``, 0–1, on request, where the network runs on some frames: 0 on these, else 1 less the trust in
            all flow from the last of them (looking ahead also from the next). None without a gate.
        duration: Seconds for which the frame is shown; None where the source does not say it.
        sound: Coded sound that stands beside it in a video (:class:`netwarp.video.source.SoundPacket`).
        latency: Seconds from when the frame was read until its labels were there.
    """

    index: int
    time: float
    name: str | None
    frame: npt.NDArray[np.uint8]
    labels: npt.NDArray[Any]
    fresh: str | None
    base_labels: npt.NDArray[Any] | None = None
    keyframe: bool = True
    network: float = 1.0
    confidence: npt.NDArray[np.float32] | None = None
    trust: npt.NDArray[np.float32] | None = None
    doubt: npt.NDArray[np.float32] | None = None
    duration: float | None = None
    sound: tuple[SoundPacket, ...] = ()
    latency: float = 0.0

    def __repr__(self) -> str:
        labels = f"{self.labels.dtype} {list(self.labels.shape)}"
        seen = f"fresh={self.fresh!r}, keyframe={self.keyframe}"
        return f"{type(self).__name__}(index={self.index}, time={self.time:.3f}, labels={labels}, {seen})"


def segment(
    source: str | Path | int | Iterable[Any] | FrameSource,
    model: VideoModel | Sliding | nn.Module,
    *,
    detect_cuts: bool = True,
    compare: bool = False,
    overlap: bool = True,
    keyframes: str | int | KeyframePolicy | type = "all",
    edges: EdgesChoice = "auto",
    lag: int = 0,
    offline: bool = False,
    confidence: bool = False,
    every_frame: bool = False,
) -> Iterator[Segmented]:
    """Segment a video frame by frame, in memory that does not grow with its length.

    Reading and flow have their own threads, which are a frame or two ahead of the network. They start with the first
    result and end with the last, or when the iterator is closed or dropped. Streams in several threads of a process can
    share one model, and divide a CPU's cores between them.

    A scene cut or a change of size starts a new state, and is logged (``logging.getLogger("netwarp")``). The model is
    put into evaluation mode.

    Args:
        source: A video file, a folder or glob of images, a camera's index, a stream's URL, or RGB pictures uint8
            ``[H,W,3]`` as an array, a list or an iterator (:func:`netwarp.video.open.open_frames`); or an open source.
            A camera or a stream that breaks is opened again, and has ended after half a minute without a picture.
        model: A video model, one in windows, or any network, which gets the mode that needs no training.
        detect_cuts: Detect scene cuts.
        compare: Also segment each frame on its own (in windows, if the model is), at the price of another pass.
        overlap: Read and estimate flow on other threads; else all runs on the caller's, and a frame is read when it is
            needed.
        keyframes: The frames that the network runs on: ``"all"``, every Nth, ``"auto"`` where the picture has changed
            too much, ``"budget:SHARE"`` of them at most (of a model in windows: that share of each frame's windows), or
            a policy of your own (:func:`netwarp.inference.keyframes.make_policy`). On the others its last answer is
            carried along the flow, for a fraction of the price. A first frame, a scene cut and a change of size are
            keyframes.
        edges: Move the edges of labels to those of the picture (:class:`netwarp.ops.Edges`): ``"on"``, ``"off"``, a
            filter with settings of your own, or ``"auto"``: on with a memory that needs no training.
        lag: Frames of delay: what so many later frames say at most is brought back to each.
        offline: Look ahead as far as is of use, in a recorded video: it is handed out in pieces, and while they wait
            the network's answers lie in temporary files, in half precision (values of regression in their own).
        confidence: Hand out the probability of each pixel's label, the trust in the memory, and the doubt in labels
            that were carried.
        every_frame: Segment each frame of a camera or a stream too, however far that falls behind: without it the
            newest one is next, and what nobody had time for is left out (``index`` counts it).

    Yields:
        A result for each frame, in order.

    Raises:
        InputError: The source cannot be read.
        ConfigurationError: The network cannot be made a video model, ``keyframes`` or ``edges`` name nothing, ``lag``
            is negative or longer than the video, or ``offline`` is asked of a camera or a stream.
        OutputError: With ``offline``, the disk is full.
    """
    # Not part of the generator, so that errors are raised at the call and not at the first frame.
    whole = model if isinstance(model, (VideoModel, Sliding)) else VideoModel(model, training_free=True)
    single = whole.without_memory() if compare else None
    video, policy = windows_in_turn(whole, keyframes)
    chosen, delay = make_edges(edges, video), make_delay(lag, offline=offline)
    frames = source if isinstance(source, FrameSource) else open_frames(source, patience=PATIENCE)
    _check_delay(delay, frames, offline=offline)
    video.eval()
    labeller = Labeller(video, carries=policy is not None, edges=chosen, delay=delay, confidence=confidence)
    newest = frames.live and frames.length is None and not every_frame
    return _segment(frames, video, single, labeller, detect_cuts, overlap, policy, delay, newest)


def _check_delay(delay: Delay | None, frames: FrameSource, *, offline: bool) -> None:
    if offline and frames.live:
        raise ConfigurationError(
            f"offline needs a video that ends, and {frames.description} is live: give a lag in its place",
            option="offline",
        )
    if delay is not None and not offline and frames.length is not None and delay.frames > frames.length:
        raise ConfigurationError(
            f"a lag of {delay.frames} frames is longer than the video of {frames.length}", option="lag"
        )


def _segment(
    frames: FrameSource,
    video: StreamModel,
    single: StreamModel | None,
    labeller: Labeller,
    detect_cuts: bool,
    overlap: bool,
    policy: KeyframePolicy | None,
    delay: Delay | None,
    newest: bool,
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
        read: Iterator[Frame]
        if newest and overlap:
            stages.append(threads.enter_context(Newest(_owned(frames), "netwarp-reading", _with_its_sound)))
            read = stages[-1]
        else:
            read = on_a_thread(_owned(frames), "reading")
        looks_ahead = delay is not None
        prepared = on_a_thread(prepare_frames(read, video, detect_cuts, staging, policy, looks_ahead), "flow")
        for stage in stages:
            threads.callback(stage.stop)  # all, before any of them is waited for
        threads.callback(frames.stop)
        yield from _through_network(prepared, labeller, single, staging, turn)
    if frames.loss:
        log.warning("%s", frames.loss)


def _owned(frames: FrameSource) -> Iterator[Frame]:
    """Copy frames, since a source may fill one array again and again."""
    for frame in frames:
        yield replace(frame, image=frame.image.copy(), read_at=time.monotonic())


def _with_its_sound(dropped: Frame, frame: Frame) -> Frame:
    return replace(frame, sound=dropped.sound + frame.sound)


def _through_network(
    frames: Iterator[PreparedFrame],
    labeller: Labeller,
    single: StreamModel | None,
    staging: Staging,
    turn: Callable[[], AbstractContextManager[None]],
) -> Iterator[Segmented]:
    for prepared in frames:
        with torch.no_grad(), turn():
            staging.join(prepared.mark)
            done = labeller.start() if prepared.fresh else []
            alone = None if single is None else labels_alone(single, prepared.image)
            item = prepared.frame, prepared.fresh, alone
            done += labeller.add(
                item, prepared.image, prepared.motion, prepared.path, prepared.ahead, prepared.frame.index
            )
            results = [_segmented(each, labeller.task, staging) for each in done]
        del prepared, item, alone, done
        yield from results
    with torch.no_grad(), turn():
        results = [_segmented(each, labeller.task, staging) for each in labeller.start()]
    yield from results


def _segmented(labelled: Labelled, task: Task, staging: Staging) -> Segmented:
    frame, fresh, alone = labelled.item
    maps = (task.handed_out(labelled.labels), alone, labelled.confidence, labelled.trust, labelled.doubt)
    found = iter(staging.download(*(each for each in maps if each is not None)))
    labels, compared, confidence, trust, doubt = (None if each is None else next(found)[0].numpy() for each in maps)
    assert labels is not None
    return Segmented(
        frame.index, frame.time, frame.name, frame.image, labels, fresh, compared, labelled.network > 0,
        labelled.network, confidence, trust, doubt, frame.duration, frame.sound,
        time.monotonic() - frame.read_at,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class PreparedFrame:
    """A frame, ready for the network."""

    frame: Frame  # as it was read
    image: Tensor  # [1,3,H,W] uint8, on the network's device
    fresh: str | None  # why it starts anew: "first frame", "scene cut", "change of size"; None where it does not
    motion: Any  # from the last keyframe, for StreamModel.step; None where the frame is fresh, or there is no memory
    path: Flows | None  # to the last keyframe, where the network does not run
    ahead: Flows | None  # from the frame before to this one, where the stream looks ahead
    mark: Any  # for Staging.join


def prepare_frames(
    frames: Iterable[Frame],
    video: StreamModel,
    detect_cuts: bool,
    staging: Staging,
    policy: KeyframePolicy | None = None,
    looks_ahead: bool = False,
) -> Iterator[PreparedFrame]:
    """Find each frame's motion from the last keyframe, or why it starts anew: all of a step that needs no network."""
    # Flow that is computed on the CPU anyway needs no frames back from a GPU.
    on_host = getattr(video.flow, "on_cpu", False)
    cuts = Cuts() if detect_cuts else None
    tracker = None if policy is None else KeyframeTracker(policy)
    # Then flow is of use without a memory too.
    carried_along = looks_ahead or tracker is not None or isinstance(video, WindowsInTurn)
    last: Tensor | None = None  # the frame before, where flow is estimated
    before: Tensor | None = None  # the same, on the network's device
    key: Tensor | None = None  # the last keyframe, likewise
    for frame in frames:
        with torch.no_grad(), staging.aside():
            host = as_frames(frame.image, CPU)
            image = staging.upload(host)
            for_flow = host if on_host else image
            fresh, flow = flow_back(frame, for_flow, last, video, carried_along)
            path, ahead, keyframe, seen = None, None, True, None
            if flow is not None and before is not None:
                path = Flows(staging.upload(flow))
                if looks_ahead:
                    ahead = video.flows_ahead(image, before, path)
                if tracker is not None:
                    seen, keyframe = tracker.next(image, video.trusted(image, before, path), frame.index)
                    path = seen.path
            if cuts is not None and last is not None and flow is not None:
                # What the last keyframe explains is no cut from the frame before.
                explained = seen is not None and not is_other_scene(seen.look)
                index, time = frame.index, frame.time
                cut = cuts.between(for_flow, last, flow, index=index, time=time, explained=explained)
                fresh = "scene cut" if cut else None
            keyframe = keyframe or fresh is not None
            if tracker is not None and fresh is not None:
                tracker.start(image)
            motion = None
            if path is not None and fresh is None and keyframe and key is not None:
                motion = video.estimate_motion(image, key, path, frame.index)
            carried = None if keyframe else path
            prepared = PreparedFrame(
                frame, image, fresh, motion, carried, None if fresh is not None else ahead, staging.mark()
            )
        last, before, key = for_flow, image, image if keyframe else key
        yield prepared
        # Not beside what the next frame takes.
        del prepared, motion, path, carried, ahead, seen, flow, image, host, for_flow


def flow_back(
    frame: Frame, image: Tensor, previous: Tensor | None, video: StreamModel, needed: bool
) -> tuple[str | None, Tensor | None]:
    """Why a frame has to start anew, or the checked flow ``[1,2,H,W]`` to the frame before it, where it is needed."""
    if previous is None:
        return "first frame", None
    if previous.shape != image.shape:
        height, width = image.shape[-2:]
        log.info("frame %d: the size changes to %d×%d: a new state starts", frame.index, width, height)
        return "change of size", None
    if not video.layers and not needed:
        return None, None
    if isinstance(video.flow, str):
        raise only_in_clips()
    return None, check_flow(video.flow(image, previous, frame.index), image)
