"""Video consistency VC_n: pixels whose class does not change for n frames keep their label (Miao et al., CVPR 2021)."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from netwarp.errors import ConfigurationError, InputError
from netwarp.label_sets import IGNORE
from netwarp.metrics.metric import ONE, Labels, Metric, as_labels, share


def video_consistency(frames: Iterable[tuple[Labels, Labels | None]], length: int) -> float:
    """:class:`VideoConsistency` of one clip, from each frame's prediction and target (None without labels), in order.

    >>> clip = [(torch.tensor([[0, 1, p, p]]), torch.tensor([[0, 0, 2, 2]])) for p in (2, 2, 3)]
    >>> video_consistency(clip, length=2)
    75.0
    """
    metric = VideoConsistency(length)
    for prediction, target in frames:
        metric.update(prediction, target)
    return metric.compute()


class VideoConsistencyCurve(Metric):
    """:class:`VideoConsistency` for windows of several lengths in one pass.

    Attributes:
        lengths: Frames in a window, at least 2, each once, ascending.
        script: Whether windows are counted as VSPW's script does it: see :class:`VideoConsistency`.
        total: int64 ``[lengths]``, the sums of the windows' shares in units of 1/:data:`netwarp.metrics.metric.ONE`.
        windows: int64 ``[lengths]``, their numbers.
    """

    total: Tensor
    windows: Tensor

    def __init__(self, lengths: Iterable[int], *, script: bool = False) -> None:
        self.script = script
        self.lengths = tuple(sorted(set(lengths)))
        if self.lengths and self.lengths[0] < 2:
            raise ConfigurationError(f"video consistency needs windows of at least 2 frames, not {self.lengths[0]}")
        super().__init__(total=(len(self.lengths),), windows=(len(self.lengths),))

    @property
    def shortest_run(self) -> int:
        """The length of the shortest window."""
        return min(self.lengths, default=sys.maxsize)

    def start_clip(self) -> None:
        """Say that the next frame does not follow the last one."""
        # Of the last frame: prediction, target, and for how many frames each pixel has kept its target, and both.
        self._past: tuple[Tensor, Tensor, Tensor, Tensor] | None = None
        self._counts: list[tuple[int, int]] = []  # of the windows that end at it: pixels that keep their target, both

    def update(self, prediction: Labels, target: Labels | None) -> None:
        """Add the next frame, ``[H,W]`` or ``[1,H,W]``; no window goes across a frame without a target."""
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
        if self._past is not None and self._past[0].shape != wanted.shape:
            raise InputError(
                f"a frame of {list(wanted.shape[1:])} pixels follows one of {list(self._past[0].shape[1:])}: "
                "call start_clip() between clips"
            )
        self._count(predicted, wanted.to(predicted.device))

    def _count(self, predicted: Tensor, wanted: Tensor) -> None:
        still = kept = torch.ones_like(wanted, dtype=torch.int32)
        if self._past is not None:
            last_predicted, last_wanted, last_still, last_kept = (each.to(wanted.device) for each in self._past)
            same = wanted == last_wanted
            still = torch.where(same, last_still + 1, 1)
            kept = torch.where(same & (predicted == last_predicted), last_kept + 1, 1)
        if not self.script:
            ignored = wanted == IGNORE
            still, kept = still.masked_fill(ignored, 0), kept.masked_fill(ignored, 0)
        # Clones, since the caller's memory may hold the next frame by then.
        self._past = predicted.clone(), wanted.clone(), still, kept
        counts = [(int((still >= n).sum()), int((kept >= n).sum())) for n in self.lengths]
        if self.script:  # a frame late, so that a clip's last window is left out
            counts, self._counts = self._counts or [(0, 0)] * len(counts), counts
        shares = [(share(part, whole), 1) if whole else (0, 0) for whole, part in counts]
        self.total = self.total + torch.tensor([part for part, _ in shares], dtype=torch.int64)
        self.windows = self.windows + torch.tensor([one for _, one in shares], dtype=torch.int64)

    def compute(self) -> Any:  # noqa: ANN401 (VideoConsistency has one number)
        """The mean over all windows, in percent, by their length; nan where there is none."""
        sums = zip(self.lengths, self.total.tolist(), self.windows.tolist(), strict=True)
        return {length: 100 * total / (windows * ONE) if windows else math.nan for length, total, windows in sums}


class VideoConsistency(VideoConsistencyCurve):
    """VC_n of a data set (VSPW; VC8 and VC16 are usual), frame by frame; ``length`` is n, at least 2.

    In each window of n consecutive labelled frames: of the pixels whose target is the same class in all n, the share
    whose prediction is the same in all n too, right or wrong. So counts the benchmark's script, from which the
    published figures come. The score is the mean over the windows of all clips in which some pixel keeps its target.
    The script differs in two things: it takes void for a class (here it is ignored), and it leaves out each clip's last
    window (here, as in the paper, C frames have C−n+1 windows). With ``script`` both are done as there.
    """

    def __init__(self, length: int, *, script: bool = False) -> None:
        self.length = length
        super().__init__((length,), script=script)

    def compute(self) -> float:
        """The mean over all windows, in percent; nan where there is none."""
        by_length: dict[int, float] = super().compute()
        return by_length[self.length]
