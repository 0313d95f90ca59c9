"""Small labelled clips in memory, which note what was read of them."""

from collections.abc import Collection, Sequence

import numpy as np
from torch import Tensor

from netwarp.datasets.clips import Clip, ClipData, ClipFrame
from netwarp.label_sets import label_set

CLASSES = 5


def random_labels(index: int, size: tuple[int, int], seed: int = 0) -> np.ndarray:
    labels = np.random.default_rng([seed, index]).integers(0, CLASSES, size).astype(np.uint8)
    labels[:3] = 255
    return labels


class MadeClip:
    """A clip with random labels on some frames.

    Args:
        images: Tensors ``[1,3,H,W]``, one a frame.
        labelled: Positions of the frames with labels; None for all.
        seed: Of the labels, and in the clip's name.
        labels: By position, in place of the random ones.
        instances: By position.
        flows: ``[2,H,W]``, by position.
    """

    def __init__(
        self,
        images: Sequence[Tensor],
        labelled: Collection[int] | None = None,
        seed: int = 0,
        *,
        labels: dict[int, np.ndarray] | None = None,
        instances: dict[int, np.ndarray] | None = None,
        flows: dict[int, np.ndarray] | None = None,
    ) -> None:
        self.name = f"clip{seed}"
        self.images = [image[0].permute(1, 2, 0).numpy() for image in images]
        positions = range(len(images)) if labelled is None else labelled
        self.labels = {i: random_labels(i, self.images[i].shape[:2], seed) for i in positions} | (labels or {})
        self.instances, self.flows = instances or {}, flows or {}
        self.read: list[int] = []

    def clip(self) -> Clip:
        return Clip(self.name, tuple(self._frame(i) for i in range(len(self.images))))

    def _frame(self, i: int) -> ClipFrame:
        def image() -> np.ndarray:
            self.read.append(i)
            return self.images[i]

        return ClipFrame(
            f"{self.name}_{i:03d}",
            image,
            *(
                None if i not in known else (lambda a=known[i]: a)
                for known in (self.labels, self.instances, self.flows)
            ),
        )


def data_of(*clips: MadeClip, classes: int = CLASSES) -> ClipData:
    return ClipData("made clips", label_set(classes), tuple(clip.clip() for clip in clips))
