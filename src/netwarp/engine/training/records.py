"""What a training tells: about each step, and at its end."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

__all__ = ["COLUMNS", "Best", "Scores", "StepRecord", "TrainResult"]


@dataclass(frozen=True)
class Scores:
    """How well a model does on validation clips, in percent; nan where nothing counts.

    Attributes:
        iou: Mean over the classes that occur.
        tiou: The same within 2 pixels of label changes.
        tc: Temporal consistency of the labelled frames with those before them.
    """

    iou: float
    tiou: float
    tc: float


@dataclass(frozen=True)
class Best:
    """The best validation so far.

    Attributes:
        step: After how many steps.
        score: Of what is monitored.
        waited: Validations since then.
    """

    step: int
    score: float
    waited: int = 0

    def after(self, step: int, score: float) -> Best:
        """The best when another validation has come; nan is never better."""
        return Best(step, score) if score > self.score else replace(self, waited=self.waited + 1)


@dataclass(frozen=True)
class StepRecord:
    """A step, as the log holds it.

    Attributes:
        step: How many steps are done with it.
        loss: What was minimised.
        consistency: The part of it that is the consistency loss, weighted; None where there is none.
        iou: Of the step's own batches, in percent, on every fourth row and column: a sign of life, not a measure.
        rate: Highest learning rate of all parts.
        gradient: Norm of the gradient over all that is trained, before clipping.
        scores: Of the validation after the step, if there was one.
    """

    step: int
    loss: float
    consistency: float | None
    iou: float
    rate: float
    gradient: float
    scores: Scores | None = None


@dataclass(frozen=True)
class TrainResult:
    """What came out.

    Attributes:
        steps: Steps that were done.
        records: Of each step, those before an interruption included.
        stopped_early: Whether validation no longer got better.
        kept: After how many steps the model was as it is now: fewer than ``steps`` where the best was kept.
        best: The best validation, or None.
        seconds: Time that all of it took, what was done before an interruption included.
        beyond_paper: What differs from the paper's, and how.
    """

    steps: int
    records: list[StepRecord] = field(repr=False)
    stopped_early: bool
    kept: int
    best: Best | None
    seconds: float
    beyond_paper: dict[str, Any]

    @property
    def losses(self) -> list[float]:
        """The loss of each step."""
        return [record.loss for record in self.records]


COLUMNS = (
    *(f.name for f in fields(StepRecord) if f.name != "scores"),
    *(f"val_{f.name}" for f in fields(Scores)),
)
"""Of the CSV log."""
