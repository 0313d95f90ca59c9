"""What a video model keeps of a stream from frame to frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from netwarp.model.netwarp import Flows


@dataclass(frozen=True, eq=False)
class VideoState:
    """All that the next :meth:`.VideoModel.step` needs from the past, and nothing else.

    Attributes:
        frame: ``[B,3,H,W]``, the last frame that the network ran on, uint8 or floating point as it was handed in.
        memory: The representation at each layer of the model then, in the order of ``model.layers``.
        answer: ``[B,classes,h,w]``, the network's result then.
        latest: ``[B,3,H,W]``, the last frame of all, where the network did not run on it.
        path: Flow from that one to ``frame``; None where they are the same.
    """

    frame: Tensor
    memory: tuple[Tensor, ...]
    answer: Tensor | None = None
    latest: Tensor | None = None
    path: Flows | None = None

    def without_answer(self) -> VideoState:
        """Return the same state for a stream in which every frame is a keyframe: it takes less memory."""
        return replace(self, answer=None)

    def detached(self) -> VideoState:
        """Return the same state without gradients."""
        kept = tuple(kept.detach() for kept in self.memory)
        answer = None if self.answer is None else self.answer.detach()
        return replace(self, frame=self.frame.detach(), memory=kept, answer=answer)
