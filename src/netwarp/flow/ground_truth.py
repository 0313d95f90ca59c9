"""The flow that a data set knows: the ceiling that every estimate is measured against."""

from __future__ import annotations

from torch import Tensor

from netwarp.errors import InputError

__all__ = ["TrueFlow"]


class TrueFlow:
    """Stands for the flow that comes with the frames, as that of rendered video does.

    It estimates nothing: whoever has the clips (:func:`.evaluate`) reads their flow and passes
    it to the model.
    """

    spec = "true"

    def __call__(self, current: Tensor, previous: Tensor, index: int | None = None) -> Tensor:
        """Refuse: frames alone do not say their true flow."""
        raise InputError(
            "the true flow is known for clips of a data set that comes with it (streets): estimate it, with flow 'dis'"
        )

    def __repr__(self) -> str:
        return "TrueFlow()"
