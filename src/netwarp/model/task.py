"""What the numbers of a network's output mean, and all that follows: memory, labels, losses, metrics.

To add a task: write its class here, with an entry in :data:`TASKS`, and how it is drawn in
:mod:`netwarp.inference.drawing`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netwarp.errors import ConfigurationError, unknown_name
from netwarp.label_sets import IGNORE, Colour, LabelSet, label_set, voc_colour

log = logging.getLogger("netwarp")

NO_LOSS = (
    "label maps hold no values to train a regression network on: training_free=True (segment --base) steadies it "
    "without training"
)
NEAR_0 = 1e-6
"""A probability's distance from 0 and 1 where its logit is taken."""


@dataclass(frozen=True)
class Task:
    """One class of C is at each pixel: the outputs are logits, and their softmax is the classes' probabilities.

    Other tasks are subclasses.

    Attributes:
        outputs: Number of the network's outputs.
        squashed: Whether the network applies the softmax or sigmoid itself, so that its outputs are probabilities.
    """

    outputs: int
    squashed: bool = False

    name: ClassVar[str] = "classes"
    normalised: ClassVar[bool] = True  # whether log-probabilities, which sum better over time, differ from the outputs
    exclusive: ClassVar[bool] = True  # whether one label is at each pixel, whose edges can be moved

    def read(self, maps: Tensor) -> Tensor:
        """Bring a network's outputs ``[B,C,h,w]`` to the form in which they are remembered and summed."""
        if not self.squashed:
            return maps
        dtype = torch.promote_types(torch.float32, maps.dtype)
        return self.logits(maps.to(dtype).clamp(NEAR_0, 1 - NEAR_0)).to(maps.dtype)

    def probabilities(self, logits: Tensor) -> Tensor:
        """What is averaged over views, and interpolated where a network wants that: float32 or better."""
        return logits.softmax(1, dtype=torch.promote_types(torch.float32, logits.dtype))

    def logits(self, probabilities: Tensor) -> Tensor:
        """The inverse of :meth:`probabilities`, up to a constant per pixel."""
        # Far above the smallest float: a probability's logarithm has the gradient 1/p, and many may be summed.
        return probabilities.clamp_min(1e-30).log()

    def labels(self, logits: Tensor) -> Tensor:
        """The result at each pixel: the class of the largest logit, ``[B,H,W]``; of equal ones the first."""
        # As argmax(1), which on the CPU takes ten times as long where the classes lie far apart in memory.
        return logits.max(1).indices

    @property
    def stored(self) -> torch.dtype:
        """The smallest dtype that holds the labels."""
        return torch.uint8 if self.outputs <= IGNORE + 1 else torch.int32

    def handed_out(self, labels: Tensor) -> Tensor:
        """Labels as a stream's results have them."""
        return labels

    def labels_of_probabilities(self, probabilities: Tensor) -> Tensor:
        """The same of :meth:`probabilities`."""
        return self.labels(probabilities)

    def confidence(self, probabilities: Tensor, labels: Tensor) -> Tensor | None:
        """The probability of each of :meth:`labels`, in their shape; None where results are no labels."""
        return probabilities.gather(1, labels.long().unsqueeze(1))[:, 0]

    def as_classes(self, answer: Tensor, *, logits: bool) -> Tensor:
        """The answer of an exclusive task, logits or :meth:`probabilities`, as one of a class for each label."""
        return answer

    def one_label(self, logits: Tensor) -> Tensor:
        """A class at each pixel ``[B,H,W]``, to compare with a label map."""
        return self.labels(logits)

    def of_mirrors(self, logits: Tensor, others: Tensor) -> Tensor:
        """:meth:`probabilities` of a view and its mirrored twin together."""
        return self.probabilities(logits + others)

    def loss_sum(self, logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        """Loss of ``[B,C,H,W]`` against a label map ``[B,H,W]``, summed over the pixels that have labels."""
        return F.cross_entropy(logits.float(), labels, weights, ignore_index=IGNORE, reduction="sum")

    def disagreement(self, logits: Tensor, brought: Tensor) -> Tensor:
        """``[B,1,H,W]``: how far the present is from the past's :meth:`probabilities`, KL(brought ‖ present)."""
        return F.kl_div(logits.float().log_softmax(1), brought, reduction="none").sum(1, keepdim=True)

    def named(self, names: Sequence[str] | None, palette: Sequence[Colour] | None) -> LabelSet:
        """Names and colours of the labels; those that are not given are made up."""
        labels = label_set(self.outputs, None if names is None else tuple(names))
        if palette is None:
            return labels
        if len(palette) != self.outputs:
            raise ConfigurationError(f"{len(palette)} colours for {self.outputs} classes: give one for each")
        return LabelSet(labels.names, tuple(palette))

    def check_training(self) -> None:
        """Refuse to train where label maps say nothing of the task."""

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "outputs": self.outputs, "squashed": self.squashed}


class Multilabel(Task):
    """Each of C labels is there or not, whatever the others: where its own logit is above 0."""

    name = "multilabel"
    normalised = False
    exclusive = False

    def probabilities(self, logits: Tensor) -> Tensor:
        """Their sigmoid."""
        return logits.to(torch.promote_types(torch.float32, logits.dtype)).sigmoid()

    def logits(self, probabilities: Tensor) -> Tensor:
        return probabilities.logit(NEAR_0)

    def labels(self, logits: Tensor) -> Tensor:
        """``[B,C,H,W]``, 1 where a label is there, else 0."""
        return (logits > 0).long()

    def confidence(self, probabilities: Tensor, labels: Tensor) -> Tensor | None:
        """Of being there or not."""
        there = probabilities.reshape(labels.shape)
        return torch.where(labels.bool(), there, 1 - there)

    def one_label(self, logits: Tensor) -> Tensor:
        """The label of the largest logit."""
        return super().labels(logits)

    def labels_of_probabilities(self, probabilities: Tensor) -> Tensor:
        return self.labels(probabilities - 0.5)

    def loss_sum(self, logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        """Binary cross entropy of every label; at each pixel the map's label is there, and no other."""
        known = labels != IGNORE
        there = torch.stack([labels == number for number in range(self.outputs)], 1).float()
        weight = known.float() if weights is None else known * weights[torch.where(known, labels, 0)]
        weight = weight.unsqueeze(1).expand_as(logits)
        return F.binary_cross_entropy_with_logits(logits.float(), there, weight, reduction="sum")

    def disagreement(self, logits: Tensor, brought: Tensor) -> Tensor:
        """The sum over the labels."""
        certain = brought.clamp(NEAR_0, 1 - NEAR_0)
        entropy = F.binary_cross_entropy(certain, certain, reduction="none")
        cross = F.binary_cross_entropy_with_logits(logits.float(), certain, reduction="none")
        return (cross - entropy).sum(1, keepdim=True)

    def named(self, names: Sequence[str] | None, palette: Sequence[Colour] | None) -> LabelSet:
        """No label is the background, whose black the first would get."""
        made_up = palette is None or tuple(palette) == label_set(self.outputs).palette
        return super().named(names, [voc_colour(i % 254 + 1) for i in range(self.outputs)] if made_up else palette)


class Binary(Multilabel):
    """An object against the rest, by one logit: label 1 where it is above 0, else 0."""

    name = "binary"
    exclusive = True

    def as_classes(self, answer: Tensor, *, logits: bool) -> Tensor:
        """The rest has the logit 0."""
        return torch.cat([torch.zeros_like(answer) if logits else 1 - answer, answer], 1)

    def labels(self, logits: Tensor) -> Tensor:
        """``[B,H,W]``, 1 where the object is, else 0."""
        return super().labels(logits)[:, 0]

    def one_label(self, logits: Tensor) -> Tensor:
        return self.labels(logits)

    def loss_sum(self, logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        """Binary cross entropy, summed over the pixels that have labels."""
        known = labels != IGNORE
        weight = known.float() if weights is None else known * weights[torch.where(known, labels, 0)]
        return F.binary_cross_entropy_with_logits(logits[:, 0].float(), (labels == 1).float(), weight, reduction="sum")

    def named(self, names: Sequence[str] | None, palette: Sequence[Colour] | None) -> LabelSet:
        """Of the rest and the object; where one name or colour is known it is the object's."""
        names = ("class 0",) if names is None else tuple(names)
        if len(names) == 1:
            names = ("background", "object" if names == ("class 0",) else names[0])
        if palette is not None and len(palette) == 1:
            palette = (voc_colour(0), palette[0] if any(palette[0]) else voc_colour(1))
        if len(names) != 2 or (palette is not None and len(palette) != 2):
            raise ConfigurationError(
                f"a network of one output tells an object from the rest: 2 names and colours, not {len(names)} and "
                f"{2 if palette is None else len(palette)}"
            )
        return LabelSet(names, label_set(2, names).palette if palette is None else tuple(palette))


class Regression(Task):
    """The outputs are values, such as depth, disparity or alpha, which are remembered and summed as they are."""

    name = "regression"
    normalised = False
    exclusive = False

    def read(self, maps: Tensor) -> Tensor:
        return maps

    def probabilities(self, logits: Tensor) -> Tensor:
        return logits.to(torch.promote_types(torch.float32, logits.dtype))

    def logits(self, probabilities: Tensor) -> Tensor:
        return probabilities

    def labels(self, logits: Tensor) -> Tensor:
        """The values, float32: ``[B,H,W]`` of one output, ``[B,C,H,W]`` of several."""
        values = logits.float()
        return values[:, 0] if self.outputs == 1 else values

    @property
    def stored(self) -> torch.dtype:
        return torch.float32

    def confidence(self, probabilities: Tensor, labels: Tensor) -> Tensor | None:
        """Values have none."""
        return None

    def of_mirrors(self, logits: Tensor, others: Tensor) -> Tensor:
        return (logits + others) / 2

    def loss_sum(self, logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        raise ConfigurationError(NO_LOSS)

    def disagreement(self, logits: Tensor, brought: Tensor) -> Tensor:
        return (logits.float() - brought).abs().sum(1, keepdim=True)

    def named(self, names: Sequence[str] | None, palette: Sequence[Colour] | None) -> LabelSet:
        """A single value is called so."""
        unnamed = self.outputs == 1 and (names is None or tuple(names) == ("class 0",))
        return super().named(("value",) if unnamed else names, palette)

    def check_training(self) -> None:
        raise ConfigurationError(NO_LOSS)


TASKS: dict[str, type[Task]] = {kind.name: kind for kind in (Task, Binary, Multilabel, Regression)}
"""What a network's output can be, by the names that ``--task`` takes."""


def check_task(name: str) -> str:
    """Refuse a name that is none of :data:`TASKS`."""
    if name not in TASKS:
        raise unknown_name("task", name, TASKS)
    return name


def task_from_dict(values: dict[str, Any]) -> Task:
    """Build the task that :meth:`Task.to_dict` describes."""
    return TASKS[check_task(values["name"])](int(values["outputs"]), bool(values["squashed"]))


def task_of(base: nn.Module, maps: Sequence[Tensor], name: str | None = None) -> Task:
    """What the outputs ``[1,C,h,w]`` that a network gave for a few ordinary frames are.

    What the caller says comes first, then what the network says (``base.task``; transformers' configuration). Without
    either several outputs are classes, and one is a binary network's logit if it is below 0 somewhere.
    """
    outputs = maps[0].shape[1]
    low, high = min(float(each.min()) for each in maps), max(float(each.max()) for each in maps)
    within = 0 <= low < high <= 1
    shares = within and all(bool((each.float().sum(1) - 1).abs().max() < 0.01) for each in maps)
    asked = name = name if name is not None else _said(base)
    if name is None and outputs == 1 and high > 1 and all(bool((each == each.round()).all()) for each in maps):
        raise ConfigurationError(
            f"the base has one output, of whole numbers from {low:.0f} to {high:.0f}: if those are labels, let it "
            "return the logits before argmax; else say by {option} what it is",
            option="task",
        )
    if name is None and outputs == 1 and low >= 0:
        raise ConfigurationError(
            f"the base has one output, of {low:.3g} to {high:.3g}: say by {{option}} whether that is a probability or "
            "logit ('binary') or a value such as depth ('regression')",
            option="task",
        )
    name = check_task(name if name is not None else "classes" if outputs > 1 else "binary")
    if name == "binary" and outputs != 1:
        raise ConfigurationError(f"a binary network has one output, and the base has {outputs}: it has classes")
    if name == "classes" and outputs == 1:
        raise ConfigurationError("one output tells no classes apart: the task is 'binary' or 'regression'")
    if name == "classes" and 0 <= low < 0.05 and 0.95 < high <= 1 and not shares and asked is None:
        log.warning(
            "the base's outputs lie between 0 and 1, as behind a sigmoid: the largest is taken for the class; if "
            "several may be at a pixel, say that its task is multilabel"
        )
    return TASKS[name](outputs, shares if name == "classes" else within and name != "regression")


def _said(base: nn.Module) -> str | None:
    own = getattr(base, "task", None)
    if isinstance(own, str) and own in TASKS:
        return own
    config = getattr(base, "config", None)
    if getattr(config, "problem_type", None) == "multi_label_classification":
        return "multilabel"
    return None
