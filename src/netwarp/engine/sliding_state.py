"""What a stream in windows keeps from frame to frame: once, however many views there are."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from netwarp.errors import InputError

__all__ = ["Memory", "SlidingState"]

Memory = tuple[Tensor, ...]
"""``[views·B,C,h,w]`` at each layer: what all views of a scale remember, in the views' order."""


class SlidingState:
    """All that the next :meth:`Sliding.step` needs from the past.

    A step uses it up: it writes each memory of the new frame over the one that it has just used, so that there is never
    more than one frame's (at the paper's six scales and two layers they are 7.5 GiB).

    Attributes:
        frame: ``[B,3,H,W]``, the previous frame, uint8 or floating point as it was handed in.
        shape: Views, and channels of each memory: what a model must have to go on from here.
    """

    def __init__(self, frame: Tensor, memory: Sequence[Memory], shape: tuple[object, ...]) -> None:
        self.frame = frame
        self.shape = shape
        self._memory: Sequence[Memory] | None = memory

    def take(self) -> Sequence[Memory]:
        """The memories, scale by scale; the state is used up.

        Raises:
            InputError: it was before.
        """
        taken = self.look()
        self._memory = None
        return taken

    def look(self) -> Sequence[Memory]:
        """The memories, scale by scale, which stay.

        Raises:
            InputError: the state was used up.
        """
        if self._memory is None:
            raise InputError(
                "this state was used up by an earlier step: hand on the one that it returned "
                "(state.copy() before that step makes one more)"
            )
        return self._memory

    @property
    def nbytes(self) -> int:
        """Bytes of all memories together; 0 once they are used up."""
        return sum(kept.nbytes for scale in self._memory or () for kept in scale)

    def copy(self) -> SlidingState:
        """One more of the same with memories of its own, for another step.

        Raises:
            InputError: this one was used up.
        """
        return SlidingState(self.frame, [tuple(kept.clone() for kept in scale) for scale in self.look()], self.shape)
