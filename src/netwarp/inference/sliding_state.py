"""What a model in windows keeps of a stream from frame to frame, in memory that its next step writes over."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from torch import Tensor

from netwarp.errors import InputError
from netwarp.model.netwarp import Flows

Memory = tuple[Tensor, ...]
"""``[views·B,C,h,w]`` at each layer: the memory of all views of a scale, in the views' order."""


class SlidingState:
    """All that the next :meth:`Sliding.step` needs from the past. A step uses it up.

    The step writes the new frame's memories over those that it has used, so that there is never more than one frame's
    (at the paper's six scales and two layers they are 7.5 GiB). Of two threads that pass one state to steps at the
    same time, one gets an error.

    Attributes:
        frame: ``[B,3,H,W]``, the last frame that the network ran on, uint8 or floating point as it was passed in.
        shape: Views and channels of each memory, which a model must have to go on from here.
        answer: ``[B,classes,H,W]``, the probabilities then.
        latest: ``[B,3,H,W]``, the last frame of all, where the network did not run on it.
        path: Flow from that one to ``frame``; None where they are the same.
    """

    def __init__(
        self,
        frame: Tensor,
        memory: Sequence[Memory],
        shape: tuple[object, ...],
        answer: Tensor | None,
        *,
        latest: Tensor | None = None,
        path: Flows | None = None,
    ) -> None:
        self.frame = frame
        self.shape = shape
        self.answer = answer
        self.latest = latest
        self.path = path
        self._failed = False
        # Until it is used up. A list, from which no two threads can pop the same.
        self._held: list[Sequence[Memory]] = [memory]

    def take(self) -> Sequence[Memory]:
        """Take the memories, scale by scale, and use the state up; an InputError if it was used up before."""
        try:
            return self._held.pop()
        except IndexError:
            raise self._used_up() from None

    @contextlib.contextmanager
    def used(self) -> Iterator[Sequence[Memory]]:
        """Take the memories for a step in the block; if it fails, later errors about the state say so."""
        try:
            yield self.take()
        except BaseException:
            self._failed = True
            raise

    def without_answer(self) -> SlidingState:
        """Let go of the probabilities, which a stream in which every frame is a keyframe does not need."""
        self.answer = None
        return self

    def look(self) -> Sequence[Memory]:
        """Look at the memories, scale by scale, without using the state up: its step will write over the tensors."""
        try:
            return self._held[0]
        except IndexError:
            raise self._used_up() from None

    def _used_up(self) -> InputError:
        if self._failed:
            return InputError(
                "the step that took this state failed midway, and its memory is lost: start anew with state=None "
                "(state.copy() before a step makes one to go back to)"
            )
        return InputError(
            "this state was used up by an earlier step: pass the one that it returned "
            "(state.copy() before that step makes one more)"
        )

    @property
    def used_up(self) -> bool:
        """Whether a step has taken the memories."""
        return not self._held

    @property
    def nbytes(self) -> int:
        """Bytes of all memories together; 0 once they are used up."""
        return sum(kept.nbytes for memory in tuple(self._held) for scale in memory for kept in scale)

    def copy(self) -> SlidingState:
        """Copy the state and its memories, for another step; an InputError if it was used up."""
        memory = [tuple(kept.clone() for kept in scale) for scale in self.look()]
        return SlidingState(self.frame, memory, self.shape, self.answer, latest=self.latest, path=self.path)
