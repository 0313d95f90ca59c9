"""Labels at the camera's rate: the network works on an older frame while its last answer is carried to the newest."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Self

import torch
from torch import nn

from netwarp.errors import ConfigurationError
from netwarp.inference.keyframes import Cuts, KeyframePolicy, make_policy
from netwarp.inference.labeller import EdgesChoice, make_edges
from netwarp.inference.sliding import Sliding
from netwarp.inference.threads import Newest, Staging, opencv_on_one_thread
from netwarp.live.follower import Follower, LiveFrame
from netwarp.live.stats import LiveStats
from netwarp.model import VideoModel
from netwarp.model.inputs import base_device
from netwarp.video.camera import PlayedFile, open_as_camera
from netwarp.video.reconnecting import Reconnecting
from netwarp.video.source import Frame, FrameSource


class Live:
    """The newest frame of a camera with its labels, in an endless iteration; a context manager.

    The network works on one frame while others come. Its answer is carried along the flow of all frames since to the
    newest one, and combined with the one before along the flow between the two, where that can be trusted. Frames that
    nobody has time for are dropped, before the flow and before the caller, so that memory and latency stay bounded
    whatever the network and the caller take. The work begins with the first frame that is asked for.

    Args:
        source: What :func:`netwarp.segment` takes. A file is played at its rate, and a camera or stream that breaks is
            opened again.
        model: A video model, one in windows, or any network, which gets the mode that needs no training.
        detect_cuts: Detect scene cuts, after which nothing comes until the network has answered.
        keyframes: Frames that the network may run on, as in :func:`netwarp.segment`: ``"all"`` lets it begin whenever
            it is free.
        edges: As in :func:`netwarp.segment`.
        loop: Play a file again and again.

    Attributes:
        source: What is read.
        stats: What it counts (:class:`netwarp.live.stats.LiveStats`).
        labelled: Frames that the caller was given.

    Raises:
        InputError: The source cannot be read.
        ConfigurationError: The network cannot be made a video model, ``keyframes`` or ``edges`` name nothing, or
            ``loop`` is asked of a camera.
    """

    def __init__(
        self,
        source: str | Path | int | FrameSource,
        model: VideoModel | Sliding | nn.Module,
        *,
        detect_cuts: bool = True,
        keyframes: str | int | KeyframePolicy | type = "all",
        edges: EdgesChoice = "auto",
        loop: bool = False,
    ) -> None:
        self.model = model if isinstance(model, (VideoModel, Sliding)) else VideoModel(model, training_free=True)
        if isinstance(self.model.flow, str):
            raise ConfigurationError(f"flow {self.model.flow!r} is that of clips: a camera needs one that is estimated")
        self.stats = LiveStats()
        self._staging = Staging(base_device(self.model.base))
        policy, guide = make_policy(keyframes), make_edges(edges, self.model)
        self.source = open_as_camera(source, loop=loop)
        self._follower = Follower(
            self.model,
            policy=policy,
            edges=guide,
            cuts=Cuts() if detect_cuts else None,
            staging=self._staging,
            stats=self.stats,
            loops=isinstance(self.source, PlayedFile) and self.source.loops,
        )
        if isinstance(self.source, Reconnecting):
            self.source.on_state = partial(setattr, self.stats, "state")
        self.model.eval()
        self.labelled = 0
        self._reading = Newest(self._read(), name="netwarp-reading")
        self._results = Newest(self._label(), name="netwarp-flow")

    def __iter__(self) -> Iterator[LiveFrame]:
        return self

    def __next__(self) -> LiveFrame:
        result = next(self._results)
        self.labelled += 1
        self.stats.dropped = self._reading.dropped + self._results.dropped
        return result

    def close(self) -> None:
        """End all threads, after the pass of the network that is under way, and close the source."""
        self._results.stop()
        self._reading.stop()
        self.source.stop()
        self._results.close()
        self._reading.close()
        self.source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self) -> Iterator[tuple[Frame, float]]:
        for frame in self.source:
            yield replace(frame, image=frame.image.copy()), self.stats.camera()

    def _label(self) -> Iterator[LiveFrame]:
        with ExitStack() as stack, torch.no_grad():
            on_cpu = self._staging.device.type == "cpu"
            if on_cpu:
                stack.enter_context(opencv_on_one_thread())
            started = None
            if on_cpu:  # leave a core to the flow, on whose time the latency depends
                whole = torch.get_num_threads()  # the number holds for all threads that begin later
                stack.callback(torch.set_num_threads, whole)
                started = partial(torch.set_num_threads, max(1, whole - 1))
            network = stack.enter_context(ThreadPoolExecutor(1, "netwarp-network", started))
            yield from self._follower.follow(self._reading, network)
