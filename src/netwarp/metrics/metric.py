"""The base class of metrics, whose state adds up over frames and processes, and the check of the labels they take."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netwarp.distributed import all_processes
from netwarp.errors import ConfigurationError, InputError

Labels: TypeAlias = Tensor | NDArray[np.integer]
"""Integer ``[H,W]`` or ``[B,H,W]``, as a tensor on any device or a numpy array."""

ONE = 1 << 36
"""A share of 1 as state: whole numbers add up to the same sum in any order. 2**27 of them fit into an int64."""


def share(part: int, whole: int) -> int:
    """``part / whole`` in units of 1/:data:`ONE`, rounded to the nearest; ``whole`` is at least 1.

    >>> share(3, 4) * 4 == 3 * ONE
    True
    """
    return (2 * part * ONE + whole) // (2 * whole)


class Metric(ABC):
    """A metric that accumulates over a data set: a subclass says what to count and what follows from the counts.

    State is int64 alone, so that sums are exact: any number of processes, in any order, gives the same score to the
    last bit. (torchmetrics' ``Metric`` is not the base: importing it takes seconds, for every command.) Public
    attributes that are not state are settings; metrics merge only where these are equal.
    :data:`netwarp.evaluation.scores.METRICS` lists those that ``netwarp evaluate`` prints.

    Args:
        **shapes: The state: name and shape of each tensor, an attribute of that name, int64 on the CPU, zero at first.

    Attributes:
        update: Adds frames; a subclass chooses the arguments.

    >>> class Pixels(Metric):
    ...     count: torch.Tensor
    ...     def __init__(self) -> None:
    ...         super().__init__(count=())
    ...     def update(self, labels: torch.Tensor) -> None:
    ...         self.count = self.count + labels.numel()
    ...     def compute(self) -> int:
    ...         return int(self.count)
    >>> first, second = Pixels(), Pixels()
    >>> first.update(torch.zeros(2, 3))
    >>> second.update(torch.zeros(4, 5))
    >>> first.merge(second)
    >>> first.compute()
    26
    """

    update: Callable[..., None]

    def __init__(self, **shapes: tuple[int, ...]) -> None:
        self._shapes = shapes
        self.reset()

    @abstractmethod
    def compute(self) -> Any:  # noqa: ANN401 (a number, or one for each width)
        """The score of all that was added so far, in percent; nan where nothing counts."""

    @property
    def shortest_run(self) -> int:
        """How many consecutive frames it needs to count anything."""
        return 1

    def start_clip(self) -> None:  # noqa: B027 (most metrics look at one frame at a time)
        """Say that the next frame does not follow the last one."""

    def reset(self) -> None:
        """Forget all frames."""
        for name, shape in self._shapes.items():
            setattr(self, name, torch.zeros(shape, dtype=torch.int64))
        self.start_clip()

    def state(self) -> list[Tensor]:
        """The tensors of the state themselves."""
        return [getattr(self, name) for name in self._shapes]

    def merge(self, other: Self) -> None:
        """Add what another metric of the same class and settings has counted."""
        if type(self) is not type(other) or self._settings() != other._settings():
            raise ConfigurationError(
                f"metrics merge with their like: {self._described()} does not with {other._described()}"
            )
        for name in self._shapes:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def reduce(self) -> Self:
        """Return a copy with the sum over all processes of ``torch.distributed``, the same on each.

        All processes must call it. This metric keeps its own process's share, so that it can go on and be reduced
        again; the copy must not be.
        """
        total = copy.deepcopy(self)
        shares = all_processes([getattr(self, name) for name in self._shapes])
        for name, of_each in zip(self._shapes, zip(*shares, strict=True), strict=True):
            setattr(total, name, torch.stack(of_each).sum(0))
        return total

    def _settings(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k not in self._shapes and not k.startswith("_")}

    def _described(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in self._settings().items())})"


def as_labels(labels: Labels, name: str) -> Tensor:
    """Check labels and bring them to int64 ``[B,H,W]``."""
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "iu":
        # Copied: torch takes neither numpy's negative strides nor foreign byte order, and warns of read-only memory.
        tensor = torch.from_numpy(labels.astype(np.int64))
    elif isinstance(labels, Tensor) and not (
        labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool
    ):
        tensor = labels.long()
    else:
        kind = getattr(labels, "dtype", type(labels).__name__)
        raise InputError(f"{name} must be integer labels, not {kind}: take argmax(1) of logits")
    if tensor.ndim not in (2, 3):
        raise InputError(f"{name} must be labels [H,W] or [B,H,W], not {list(tensor.shape)}")
    return tensor[None] if tensor.ndim == 2 else tensor
