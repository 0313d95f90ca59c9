"""Follow a camera from frame to frame, and carry the network's last answer to each of them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from netwarp.inference.keyframes import BoundedWait, Cuts, Doubt, KeyframePolicy, half_grey, is_other_scene
from netwarp.inference.labeller import Answer
from netwarp.inference.sliding import StreamModel
from netwarp.inference.sliding_state import SlidingState
from netwarp.inference.stream import CPU, Segmented, flow_back
from netwarp.inference.threads import Staging
from netwarp.live.stats import LiveStats
from netwarp.model.inputs import as_frames
from netwarp.model.netwarp import Flows
from netwarp.ops import Edges
from netwarp.video.source import Frame

QUICK = 0.5
"""A network that takes less than this share of the time between frames is waited for: labels are then this frame's."""


OPENINGS = 4
"""First frames of scenes whose answers are kept while a file is played in a loop."""


@dataclass(frozen=True, eq=False, repr=False)
class LiveFrame(Segmented):
    """A frame and its labels, as they come.

    Attributes:
        age: Frames of the camera between the one that the network saw and this one, along which labels were carried.
    """

    age: int = 0


@dataclass(frozen=True, eq=False)
class _Seen:
    """A frame on the network's device."""

    index: int
    image: Tensor

    @cached_property
    def grey(self) -> Tensor:
        return half_grey(self.image)


@dataclass(eq=False)
class _Asked:
    """A frame that the network was given."""

    frame: _Seen
    answer: Future[Answer]
    path: Flows | None = None  # from the newest frame to it
    frames: int = 0  # that path's length

    def follow(self, flows: Flows) -> None:
        self.path, self.frames = flows if self.path is None else flows.on_to(self.path), self.frames + 1

    def doubt(self, frame: _Seen) -> Doubt:
        """What a policy sees of the newest frame, which the path begins at."""
        assert self.path is not None
        return Doubt(frame.index, self.frames, self.path, (frame.grey, self.frame.grey))


class Follower:
    """Estimates the flow between frames as they come, and carries labels along it while the network works.

    The network is given the newest frame as soon as it is free, and combines it with the state after its last one. The
    flow to both of these frames is composed from frame to frame: that to the last answered carries its labels, that to
    the one under way will carry the next. When a new scene begins, the pass under way is forgotten. A file that is
    played in a loop shows the first frames of its scenes again: answers to some of them are kept.
    """

    def __init__(
        self,
        model: StreamModel,
        *,
        policy: KeyframePolicy | None,
        edges: Edges | None,
        cuts: Cuts | None,
        staging: Staging,
        stats: LiveStats,
        loops: bool = False,
    ) -> None:
        self._model, self._edges, self._cuts = model, edges, cuts
        self._policy = None if policy is None else BoundedWait(policy)
        self._staging, self._stats = staging, stats
        self._known: _Asked | None = None  # whose labels are carried
        self._under_way: _Asked | None = None
        self._openings: deque[_Asked] = deque(maxlen=OPENINGS if loops else 0)  # the first frames of scenes
        self._newest: _Seen | None = None  # what the network begins on when it is done
        self._pass_seconds = float("inf")
        self._lock = threading.RLock()  # of all of these, between the flow's thread and the network's

    def follow(self, frames: Iterable[tuple[Frame, float]], network: Executor) -> Iterator[LiveFrame]:
        """Label frames, each given with the time at which it was taken; ``network`` has one thread."""
        try:
            yield from self._follow(frames, network)
        finally:
            with self._lock:
                self._newest = None

    def _follow(self, frames: Iterable[tuple[Frame, float]], network: Executor) -> Iterator[LiveFrame]:
        on_host = getattr(self._model.flow, "on_cpu", False)
        last: Tensor | None = None  # the frame before, where flow is estimated
        unlabelled: tuple[Frame, float, str | None] | None = None
        fresh: str | None = None
        interval, previous = 0.0, None
        for frame, taken in frames:
            with self._staging.aside():
                host = as_frames(frame.image, CPU)
                image = self._staging.upload(host)
                for_flow = host if on_host else image
                why, flow = flow_back(frame, for_flow, last, self._model, True)
                flows = None
                if flow is not None and self._newest is not None:
                    flows = self._model.trusted(image, self._newest.image, Flows(self._staging.upload(flow)))
                interval, previous = taken - (taken if previous is None else previous), taken
                with self._lock:
                    self._newest = _Seen(frame.index, image)
                    self._go_on(flows)
                    if self._cuts is not None and flow is not None and last is not None:
                        explained = self._is_explained()
                        if self._cuts.between(
                            for_flow, last, flow, index=frame.index, time=frame.time, explained=explained
                        ):
                            why = "scene cut"
                    if why is not None:
                        self._start_anew()
                    self._take()
                    self._ask(network)
                if self._pass_seconds < QUICK * interval:
                    self._wait()
                    with self._lock:
                        self._ask(network)
                fresh = why or fresh
                result = self._labelled(frame, taken, fresh)
            last = for_flow
            unlabelled = None if result is not None else (frame, taken, fresh)
            if result is not None:
                fresh = None
                yield result
            del result, image, host, for_flow, flow, flows
        if unlabelled is not None:  # the source has ended before the network has answered
            self._wait()
            with self._staging.aside():
                result = self._labelled(*unlabelled)
            if result is not None:
                yield result

    def _go_on(self, flows: Flows | None) -> None:
        """Go on to the newest frame along the flow to the one before."""
        for asked in (self._known, self._under_way):
            if asked is not None and flows is not None:
                asked.follow(flows)

    def _is_explained(self) -> bool:
        """Whether the newest frame shows the scene of that whose labels are carried."""
        known, newest = self._known, self._newest
        if known is None or known.path is None or newest is None:
            return False
        return not is_other_scene(known.doubt(newest).look)

    def _start_anew(self) -> None:
        if self._under_way is not None:
            self._under_way.answer.cancel()
        self._known = self._under_way = None
        newest = self._newest
        for asked in self._openings:
            answered = asked.answer.done() and not asked.answer.cancelled()
            if answered and newest is not None and torch.equal(asked.frame.image, newest.image):
                self._known = _Asked(newest, asked.answer)

    def _wait(self) -> None:
        """Wait for the network's answer; without the lock, which an outdated pass may need to come to its end."""
        asked = self._under_way
        if asked is not None:
            wait([asked.answer])
        with self._lock:
            self._take()

    def _take(self) -> None:
        if self._under_way is not None and self._under_way.answer.done():
            self._under_way.answer.result()
            self._known, self._under_way = self._under_way, None

    def _ask(self, network: Executor) -> None:
        """Let the network begin on the newest frame, if it is free, has not seen it, and the policy says so."""
        if self._under_way is not None or self._newest is None:
            return
        frame, key, state, motion = self._newest, self._known, None, None
        if key is not None:
            if key.path is None or (self._policy is not None and not self._policy(key.doubt(frame))):
                return
            state = key.answer.result().state
            if isinstance(state, SlidingState) and state.used_up:  # of a loop's first frame: only its labels are left
                state = None
            else:
                motion = self._model.estimate_motion(frame.image, key.frame.image, key.path, frame.index)
        answer = network.submit(self._answer, frame.image, state, motion, self._staging.mark())
        self._under_way = _Asked(frame, answer)
        if key is None:
            self._openings.append(self._under_way)
        answer.add_done_callback(lambda answer: self._ask_again(answer, network))

    @torch.no_grad()
    def _ask_again(self, answer: Future[Answer], network: Executor) -> None:
        """Let the network go on at once, on its own thread; an error is left to the flow's."""
        with self._lock, self._staging.aside():
            current = self._under_way is not None and self._under_way.answer is answer
            if current and not answer.cancelled() and answer.exception() is None:
                self._take()
                self._ask(network)

    @torch.no_grad()
    def _answer(self, image: Tensor, state: Any, motion: Any, mark: Any) -> Answer:  # noqa: ANN401
        began = time.monotonic()
        self._staging.join(mark)
        logits, after = self._model.step(image, state, motion)
        answer = Answer.of(self._model, after, logits, image, self._edges, keep=True)
        self._staging.finish()
        self._pass_seconds = time.monotonic() - began
        self._stats.network()
        return answer

    def _labelled(self, frame: Frame, taken: float, fresh: str | None) -> LiveFrame | None:
        key = self._known
        if key is None:
            return None
        answer = key.answer.result()
        labels = answer.labels if key.path is None else answer.carried(self._model, key.path)
        found = self._staging.download(labels)[0][0].numpy()
        age = frame.index - key.frame.index
        latency = self._stats.label(taken, age)
        named = (frame.index, frame.time, frame.name, frame.image)
        ran = float(key.path is None)
        return LiveFrame(*named, found, fresh, keyframe=ran > 0, network=ran, age=age, latency=latency)
