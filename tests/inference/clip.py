"""A video in memory."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from torch import Tensor

from netwarp.video.source import Frame, FrameSource


class Clip(FrameSource):
    """Frames out of an iterable, which may be a generator; remembers how often it was closed.

    Args:
        images: RGB uint8 ``[H,W,3]``, or tensors ``[1,3,H,W]``.
        time_of: Seconds of a frame by its index.
        names: Of the frames, as image files have them.
        loss: What to say of lost frames at the end.
    """

    description = "a clip"

    def __init__(
        self,
        images: Iterable[np.ndarray | Tensor],
        time_of: Callable[[int], float] = lambda index: index / 25,
        names: Callable[[int], str | None] = lambda index: None,
        loss: str | None = None,
    ) -> None:
        self.images, self.time_of, self.names = images, time_of, names
        self.loss_at_end = loss
        self.closed = 0

    def __iter__(self) -> Iterator[Frame]:
        for index, image in enumerate(self.images):
            if isinstance(image, Tensor):
                image = np.ascontiguousarray(image[0].permute(1, 2, 0).numpy())
            yield Frame(index, image, self.time_of(index), self.names(index))
        self.loss = self.loss_at_end

    def close(self) -> None:
        self.closed += 1
