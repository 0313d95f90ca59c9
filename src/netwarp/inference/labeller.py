"""Labels of a stream's frames from what a model says of them: carried, mixed with later ones, filtered along edges."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from netwarp.errors import unknown_name
from netwarp.inference.lookahead import Delay, Lookahead
from netwarp.inference.sliding import SlidingState
from netwarp.inference.stream_model import StreamModel
from netwarp.inference.windows_in_turn import TurnsState
from netwarp.model import VideoModel, VideoState
from netwarp.model.netwarp import Flows, Motion
from netwarp.model.outputs import labels_of
from netwarp.ops import Edges
from netwarp.ops.kernels import labels_along

EdgesChoice = bool | Literal["on", "off", "auto"] | Edges


def make_edges(edges: EdgesChoice, model: StreamModel) -> Edges | None:
    """Build the filter that a name means; None for none.

    ``"on"`` (or True), ``"off"`` (or False), an :class:`netwarp.ops.Edges`, or ``"auto"``: on with a memory that needs
    no training, where the filter was never worse than nothing on rendered video.

    Raises:
        ConfigurationError: an unknown name.
    """
    if isinstance(edges, Edges):
        return edges
    if edges not in (True, False, "on", "off", "auto"):
        raise unknown_name("edges", str(edges), ("on", "off", "auto"))
    return Edges() if edges in (True, "on") or (edges == "auto" and model.training_free) else None


def small_labels(logits: Tensor) -> Tensor:
    """Labels ``[B,H,W]`` in one byte each, where they fit."""
    return labels_of(logits).to(torch.uint8 if logits.shape[1] <= 256 else torch.int32)


class Labelled(NamedTuple):
    """An item, its labels ``[1,H,W]``, and the share of the network that ran on it: of its windows, or all or none."""

    item: Any
    labels: Tensor
    network: float


class Labeller:
    """Runs a model over the frames of a stream, one after the other, and labels them.

    With a delay a frame's labels come with a later one's. ``carries`` says whether frames without the network follow.
    """

    def __init__(
        self, model: StreamModel, *, carries: bool = False, edges: Edges | None = None, delay: Delay | None = None
    ) -> None:
        self._model, self._carries, self._edges = model, carries, edges
        self._logits = isinstance(model, VideoModel)
        self._lookahead = None if delay is None else Lookahead(model, delay)
        self._state: Any = None
        self._labels: Tensor | None = None  # of the last keyframe
        self._filtered: Tensor | None = None  # its probabilities where they decide, with edges

    def start(self) -> list[Labelled]:
        """Forget the past: the next frame does not follow the last one. Returns what still waited."""
        self._state = self._labels = self._filtered = None  # at once: a state in windows is large
        return [] if self._lookahead is None else self._in_order(self._lookahead.finish())

    def add(
        self,
        item: object,
        image: Tensor,
        motion: Tensor | Flows | Motion | None,
        path: Flows | None = None,
        ahead: Flows | None = None,
        index: int | None = None,
    ) -> list[Labelled]:
        """Label the next frame ``[1,3,H,W]``.

        Args:
            item: What is handed out with its labels.
            image: The frame.
            motion: From it to the last keyframe, for a step of the model; None at a start.
            path: Flow to the last keyframe where the network does not run.
            ahead: Flow to it from the frame before, with a delay.
            index: Its number in the video.

        Returns:
            Items whose labels are known now, in order.
        """
        logits, network = None, 0.0
        if path is None:
            logits, after = self._model.step(image, self._state, motion, index=index)
            if not self._carries and self._lookahead is None and isinstance(after, (VideoState, SlidingState)):
                after = after.without_answer()
            self._state = after
            network = after.refreshed if isinstance(after, TurnsState) else 1.0
        if self._lookahead is not None:
            answer = self._state.answer if path is None else self._model.carry_answer(self._state, path)
            # Clones are of the network's stream, and may wait longer than what was made on another (Staging).
            kept = None
            if ahead is not None:
                kept = Flows(ahead.backward.clone(), None, None if ahead.trust is None else ahead.trust.clone())
            return self._in_order(self._lookahead.add((item, image.clone(), network), answer, kept))
        if logits is not None:
            self._labels, self._filtered = self._label(logits, image, keep=self._carries)
            return [Labelled(item, self._labels, network)]
        assert path is not None
        assert self._labels is not None
        if self._filtered is not None:
            return [Labelled(item, labels_along(self._filtered, self._labels, path.backward), network)]
        return [Labelled(item, self._model.carry_labels(self._state, path, self._labels), network)]

    def _in_order(self, found: Any) -> list[Labelled]:  # noqa: ANN401
        labelled = []
        for (item, image, network), answer in found:
            labels, _ = self._label(self._model.enlarge(answer, image), image)
            labelled.append(Labelled(item, labels, network))
        return labelled[::-1]

    def _label(self, logits: Tensor, image: Tensor, *, keep: bool = False) -> tuple[Tensor, Tensor | None]:
        labels = small_labels(logits)
        if self._edges is None:
            return labels, None
        return self._edges(logits, labels, image, logits=self._logits, keep=keep)
