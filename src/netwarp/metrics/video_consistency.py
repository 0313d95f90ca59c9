"""Video consistency VC_n: whether what stands still for n frames keeps its label that long (Miao et al., CVPR 2021)."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from netwarp.errors import ConfigurationError, InputError
from netwarp.metrics.labels import IGNORE, Labels, as_labels
from netwarp.metrics.metric import ONE, Metric, share

__all__ = ["VideoConsistency", "video_consistency"]


def video_consistency(frames: Iterable[tuple[Labels, Labels | None]], length: int) -> float:
    """VC_n of one clip; see :class:`VideoConsistency`.

    Args:
        frames: Prediction and target of each frame, in order; the target is None where nobody labelled it.
        length: Frames in a window, n.

    Returns:
        Percent, the mean over the clip's windows; nan where there is none.

    Raises:
        InputError: Labels that are none, or do not belong together.
        ConfigurationError: Windows of less than 2 frames.

    Example:
        >>> clip = [(torch.tensor([[0, 1, p, p]]), torch.tensor([[0, 0, 2, 2]])) for p in (2, 2, 3)]
        >>> video_consistency(clip, length=2)
        75.0
    """
    metric = VideoConsistency(length)
    for prediction, target in frames:
        metric.update(prediction, target)
    return metric.compute()


class VideoConsistency(Metric):
    """VC_n of a data set (VSPW; VC8 and VC16 are usual), frame by frame and in the memory of a few frames.

    In each window of n consecutive labelled frames: of the pixels whose target is the same class in all n, the share
    whose prediction is the same in all n too, right or wrong (IoU says how much is wrong): that is how the benchmark's
    script counts, from which the published figures come. Averaged over the windows of all clips; one in which no pixel
    keeps its target counts nowhere. In two things the script differs: it takes void for a class (here it is ignored),
    and it leaves out each clip's last window (here, as in the paper, C frames have C−n+1 windows).

    Args:
        length: Frames in a window, n, at least 2.

    Attributes:
        length: Frames in a window.
        total: int64 scalar, the sum of the windows' shares in units of 1/:data:`netwarp.metrics.metric.ONE`.
        windows: int64 scalar, their number.

    Raises:
        ConfigurationError: Windows of less than 2 frames.
    """

    total: Tensor
    windows: Tensor

    def __init__(self, length: int) -> None:
        if length < 2:
            raise ConfigurationError(f"video consistency needs windows of at least 2 frames, not {length}")
        self.length = length
        super().__init__(total=(), windows=())

    def start_clip(self) -> None:
        """Say that the next frame does not follow the last one."""
        # Labels of the last frame, and for how many frames each pixel has kept its target, and target and prediction.
        self._before: tuple[Tensor, Tensor] | None = None
        self._still: Tensor | None = None
        self._kept: Tensor | None = None

    def reset(self) -> None:
        """Forget all frames."""
        super().reset()
        self.start_clip()

    def update(self, prediction: Labels, target: Labels | None) -> None:
        """Add the next frame of a clip.

        Args:
            prediction: Integer ``[H,W]`` or ``[1,H,W]``.
            target: Of the same shape, 255 = ignore; None where nobody labelled the frame: no window goes across it.

        Raises:
            InputError: Labels that are none, more than one frame, or another size than the frame before.
        """
        predicted = as_labels(prediction, "the prediction")
        wanted = predicted if target is None else as_labels(target, "the target")
        if len(predicted) != 1 or wanted.shape != predicted.shape:
            raise InputError(
                "video consistency takes one frame after the other, prediction and target [H,W], "
                f"not {list(predicted.shape)} and {list(wanted.shape)}"
            )
        if target is None:
            self.start_clip()
            return
        if self._before is not None and self._before[0].shape != wanted.shape:
            raise InputError(
                f"a frame of {list(wanted.shape[1:])} pixels follows one of {list(self._before[0].shape[1:])}: "
                "call start_clip() between clips"
            )
        self._count(predicted, wanted.to(predicted.device))

    def _count(self, predicted: Tensor, wanted: Tensor) -> None:
        still = kept = torch.ones_like(wanted, dtype=torch.int32)
        if self._before is not None and self._still is not None and self._kept is not None:
            last_predicted, last_wanted = (labels.to(wanted.device) for labels in self._before)
            same = wanted == last_wanted
            still = torch.where(same, self._still.to(wanted.device) + 1, 1)
            kept = torch.where(same & (predicted == last_predicted), self._kept.to(wanted.device) + 1, 1)
        ignored = wanted == IGNORE
        self._still, self._kept = still.masked_fill(ignored, 0), kept.masked_fill(ignored, 0)
        self._before = (predicted.clone(), wanted.clone())  # the caller's memory may hold the next frame by then
        whole = int((self._still >= self.length).sum())
        if whole:
            self.total = self.total + share(int((self._kept >= self.length).sum()), whole)
            self.windows = self.windows + 1

    def compute(self) -> float:
        """The mean over all windows, in percent; nan where there is none."""
        return 100 * int(self.total) / (int(self.windows) * ONE) if self.windows else math.nan
