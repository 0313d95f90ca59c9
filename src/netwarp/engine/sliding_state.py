"""What a stream in windows keeps from frame to frame: once, however many views there are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from torch import Tensor

from netwarp.errors import InputError

__all__ = ["Memory", "SlidingState"]

Memory = tuple[Tensor, ...]
"""``[views·B,C,h,w]`` at each layer: what all views of a scale remember, in the views' order."""


class SlidingState:
    """All that the next :meth:`Sliding.step` needs from the past.

    A step uses it up: it writes each memory of the new frame over the one that it has just used, so that there is never
    more than one frame's (at the paper's six scales and two layers they are 7.5 GiB). Of two threads that hand one
    state to steps at the same time, one is refused.

    Attributes:
        frame: ``[B,3,H,W]``, the previous frame, uint8 or floating point as it was handed in.
        shape: Views, and channels of each memory: what a model must have to go on from here.
    """

    def __init__(self, frame: Tensor, memory: Sequence[Memory], shape: tuple[object, ...]) -> None:
        self.frame = frame
        self.shape = shape
        self._failed = False
        # Until it is used up. A list, from which no two threads can pop the same.
        self._held: list[Sequence[Memory]] = [memory]

    def take(self) -> Sequence[Memory]:
        """The memories, scale by scale; the state is used up.

        Raises:
            InputError: it was before.
        """
        try:
            return self._held.pop()
        except IndexError:
            raise self._used_up() from None

    @contextlib.contextmanager
    def used(self) -> Iterator[Sequence[Memory]]:
        """The same for the step in the block: where that fails, whoever uses the state again is told so.

        Raises:
            InputError: it was used up before.
        """
        try:
            yield self.take()
        except BaseException:
            self._failed = True
            raise

    def look(self) -> Sequence[Memory]:
        """The memories, scale by scale, without using the state up: tensors that its step will write over.

        Raises:
            InputError: the state was used up.
        """
        try:
            return self._held[0]
        except IndexError:
            raise self._used_up() from None

    def _used_up(self) -> InputError:
        if self._failed:
            return InputError(
                "the step that this state was handed to failed midway, and left nothing of its memory: start anew with "
                "state=None (state.copy() before a step makes one to go back to)"
            )
        return InputError(
            "this state was used up by an earlier step: hand on the one that it returned "
            "(state.copy() before that step makes one more)"
        )

    @property
    def nbytes(self) -> int:
        """Bytes of all memories together; 0 once they are used up."""
        return sum(kept.nbytes for memory in tuple(self._held) for scale in memory for kept in scale)

    def copy(self) -> SlidingState:
        """One more of the same with memories of its own, for another step.

        Raises:
            InputError: this one was used up.
        """
        return SlidingState(self.frame, [tuple(kept.clone() for kept in scale) for scale in self.look()], self.shape)
