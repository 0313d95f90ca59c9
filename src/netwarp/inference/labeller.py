"""Labels of a stream's frames from what a model says of them: carried, mixed with later ones, filtered along edges."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from netwarp.errors import ConfigurationError, unknown_name
from netwarp.inference.lookahead import Delay, Lookahead
from netwarp.inference.sliding import StreamModel
from netwarp.inference.sliding_state import SlidingState
from netwarp.inference.windows_in_turn import TurnsState
from netwarp.model import VideoModel, VideoState
from netwarp.model.gates import resize_confidence
from netwarp.model.netwarp import Flows, Motion
from netwarp.ops import Edges
from netwarp.ops.kernels import labels_along

EdgesChoice = bool | Literal["on", "off", "auto"] | Edges


def make_edges(edges: EdgesChoice, model: StreamModel) -> Edges | None:
    """Build the filter that a name means; None for none.

    ``"on"`` (or True), ``"off"`` (or False), an :class:`netwarp.ops.Edges`, or ``"auto"``: on with a memory that needs
    no training, where the filter was never worse than nothing on rendered video.
    """
    if not isinstance(edges, Edges) and edges not in (True, False, "on", "off", "auto"):
        raise unknown_name("edges", str(edges), ("on", "off", "auto"))
    if edges == "auto":
        return Edges() if model.training_free and model.task.exclusive else None
    if edges in (False, "off"):
        return None
    if not model.task.exclusive:
        raise ConfigurationError(
            f"the edges filter needs one label a pixel, and the task is {model.task.name!r}: leave {{option}} out",
            option="edges",
        )
    return edges if isinstance(edges, Edges) else Edges()


def labels_alone(model: StreamModel, image: Tensor) -> Tensor:
    """Labels of a frame ``[B,3,H,W]`` without a past, in the smallest type that holds them."""
    if isinstance(model, VideoModel):
        return model.step(image, as_labels=True)[0].to(model.task.stored)
    return model.labels(model.step(image)[0]).to(model.task.stored)


class Answer(NamedTuple):
    """What a model said of a keyframe: the state after it, labels ``[1,H,W]``, and with edges their probabilities."""

    state: Any
    labels: Tensor
    filtered: Tensor | None

    @classmethod
    def of(
        cls,
        model: StreamModel,
        state: Any,  # noqa: ANN401 - each model has its own
        logits: Tensor,
        image: Tensor,
        edges: Edges | None,
        *,
        keep: bool,
    ) -> Answer:
        """Label what a step returned; with ``keep`` for a frame whose labels are carried on."""
        labels, filtered = model.labels(logits).to(model.task.stored), None
        if edges is not None:
            of_logits = isinstance(model, VideoModel)
            answer = model.task.as_classes(logits, logits=of_logits)
            labels, filtered = edges(answer, labels, image, logits=of_logits, keep=keep)
        return cls(state, labels, filtered)

    def carried(self, model: StreamModel, path: Flows) -> Tensor:
        if self.filtered is not None:
            return labels_along(self.filtered, self.labels, path.backward)
        return model.carry_labels(self.state, path, self.labels)


class Labelled(NamedTuple):
    """An item, its labels ``[1,H,W]``, and the share of the network that ran on it: of its windows, or all or none.

    Where they are asked for, the probability of each label, the trust in the memory, and how far a label that was
    carried is to be doubted, ``[1,H,W]`` in 0–1.
    """

    item: Any
    labels: Tensor
    network: float
    confidence: Tensor | None = None
    trust: Tensor | None = None
    doubt: Tensor | None = None


class Labeller:
    """Runs a model over the frames of a stream, one after the other, and labels them.

    With a delay a frame's labels come with a later one's. ``carries`` says whether frames without the network follow,
    ``confidence`` whether it is asked for.
    """

    def __init__(
        self,
        model: StreamModel,
        *,
        carries: bool = False,
        edges: Edges | None = None,
        delay: Delay | None = None,
        confidence: bool = False,
    ) -> None:
        self._model, self._carries, self._edges, self._confidence = model, carries, edges, confidence
        self.task = model.task
        self._lookahead = None if delay is None else Lookahead(model, delay)
        self._state: Any = None
        self._answer: Answer | None = None  # of the last keyframe

    def start(self) -> list[Labelled]:
        """Forget the past: the next frame does not follow the last one. Returns what still waited."""
        self._state = self._answer = None  # at once: a state in windows is large
        return [] if self._lookahead is None else self._in_order(self._lookahead.finish())

    def add(
        self,
        item: object,
        image: Tensor,
        motion: Any,  # noqa: ANN401 - each model makes its own
        path: Flows | None = None,
        ahead: Flows | None = None,
        index: int | None = None,
    ) -> list[Labelled]:
        """Label the next frame ``[1,3,H,W]``, and return what has its labels now, in order.

        ``motion`` leads from it to the last keyframe, for a step of the model, or is None at a start; ``path`` does
        where the network does not run; ``ahead`` is the flow to it from the frame before, with a delay.
        """
        logits, network = None, 0.0
        plain = self._edges is None and self._lookahead is None and not self._confidence
        direct = isinstance(self._model, VideoModel) and plain
        if path is None:
            as_labels = {"as_labels": True} if direct else {}
            logits, after = self._model.step(image, self._state, motion, index=index, **as_labels)
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
            trust = self._trust(motion, path, image)
            waits = item, image.clone(), network, None if trust is None else trust.clone()
            return self._in_order(self._lookahead.add(waits, answer, kept, self._sure(path, image)))
        if logits is not None and direct:
            self._answer = Answer(self._state, logits.to(self._model.task.stored), None)
            return [Labelled(item, self._answer.labels, network)]
        if logits is not None:
            self._answer = Answer.of(self._model, self._state, logits, image, self._edges, keep=self._carries)
            labels = self._answer.labels
        else:
            assert path is not None
            assert self._answer is not None
            labels = self._answer.carried(self._model, path)
            if self._confidence:
                logits = self._model.enlarge(self._model.carry_answer(self._state, path), image)
        trust, doubt = self._trust(motion, path, image), _doubt(self._sure(path, image))
        return [Labelled(item, labels, network, self._probability(logits, labels), trust, doubt)]

    def _in_order(self, found: Any) -> list[Labelled]:  # noqa: ANN401
        labelled = []
        for (item, image, network, trust), answer, sure in found:
            logits = self._model.enlarge(answer, image)
            labels = Answer.of(self._model, None, logits, image, self._edges, keep=False).labels
            labelled.append(Labelled(item, labels, network, self._probability(logits, labels), trust, _doubt(sure)))
        return labelled[::-1]

    def _probability(self, logits: Tensor | None, labels: Tensor) -> Tensor | None:
        """What the model gives the labels, before they are filtered along edges."""
        if not self._confidence or logits is None:
            return None
        task = self._model.task
        return task.confidence(task.probabilities(logits) if isinstance(self._model, VideoModel) else logits, labels)

    def _trust(self, motion: Tensor | Flows | Motion | None, path: Flows | None, image: Tensor) -> Tensor | None:
        """The gate's, in what memory was brought to the frame."""
        if isinstance(motion, Motion):
            found = motion.confidence
        else:
            found = getattr(motion if path is None else path, "trust", None)
        if not self._confidence or found is None:
            return None
        return resize_confidence(found, (image.shape[-2], image.shape[-1]))[:, 0]

    def _sure(self, path: Flows | None, image: Tensor) -> Tensor | None:
        """How sure an answer is by what was before: 1 where the network ran, else the trust in all flow since."""
        if not self._confidence or not self._carries:
            return None
        size = image.shape[-2], image.shape[-1]
        if path is None:
            return torch.ones(len(image), 1, *size, device=image.device)
        return None if path.trust is None else resize_confidence(path.trust, size).float()


def _doubt(sure: Tensor | None) -> Tensor | None:
    return None if sure is None else 1 - sure[:, 0]
