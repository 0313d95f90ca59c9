"""Trimap IoU: IoU within a band around the target's label changes (paper, section 4, tIoU)."""

from __future__ import annotations

import torch
from torch import Tensor

from netwarp.errors import ConfigurationError
from netwarp.metrics.iou import IoU
from netwarp.metrics.labels import IGNORE, Labels, as_labels

__all__ = ["TrimapIoU", "trimap"]


def trimap(labels: Labels, width: int) -> Tensor:
    """The band of pixels within ``width`` of a label change.

    The pixels on both sides of a change (one of whose four neighbours has another label) are at distance 1;
    from there the distance grows as the chessboard's king walks. A band of width w is thus the change's two sides
    dilated by a (2w−1)×(2w−1) square, and what the authors' script calls 3, the side of that square, is width 2,
    the paper's default. A change from or to ignored pixels counts as one, as in that script; the edge of the frame
    does not.

    Args:
        labels: Integer ``[H,W]`` or ``[B,H,W]``, of the target; 255 is ignored.
        width: At least 1, in pixels.

    Returns:
        bool of the labels' shape, on their device; False on ignored pixels.

    Raises:
        ConfigurationError: A width below 1.
        InputError: No integer labels of such a shape.

    Example:
        >>> trimap(torch.tensor([[7, 7, 7, 3, 3, 3]]), width=2).int().tolist()
        [[0, 1, 1, 1, 1, 0]]
    """
    if width < 1:
        raise ConfigurationError(f"the width of a trimap must be at least 1 pixel, not {width}")
    maps = as_labels(labels, "the labels of a trimap")
    band = torch.zeros_like(maps, dtype=torch.bool)
    across = maps[:, :, 1:] != maps[:, :, :-1]
    down = maps[:, 1:] != maps[:, :-1]
    band[:, :, 1:] |= across
    band[:, :, :-1] |= across
    band[:, 1:] |= down
    band[:, :-1] |= down
    for _ in range(width - 1):
        band = _king_step(band)
    return (band & (maps != IGNORE)).reshape(labels.shape)


def _king_step(band: Tensor) -> Tensor:
    """Dilate ``[B,H,W]`` by a 3×3 square: one way, then the other."""
    wide = band.clone()
    wide[:, :, 1:] |= band[:, :, :-1]
    wide[:, :, :-1] |= band[:, :, 1:]
    square = wide.clone()
    square[:, 1:] |= wide[:, :-1]
    square[:, :-1] |= wide[:, 1:]
    return square


class TrimapIoU(IoU):
    """IoU over a data set, of the pixels in the :func:`trimap` of the target alone.

    Args:
        classes: Number of classes.
        width: Of the band, in pixels; the paper's default is 2.

    Attributes:
        width: Of the band, in pixels.

    Raises:
        ConfigurationError: A width below 1, or an impossible number of classes.
    """

    def __init__(self, classes: int, width: int = 2) -> None:
        if width < 1:
            raise ConfigurationError(f"the width of a trimap must be at least 1 pixel, not {width}")
        super().__init__(classes)
        self.width = width

    def update(self, prediction: Labels, target: Labels) -> None:
        """Add frames; see :func:`netwarp.metrics.confusion_matrix`."""
        wanted = as_labels(target, "the target")
        band = trimap(wanted, self.width)
        super().update(prediction, wanted.masked_fill(~band, IGNORE).reshape(target.shape))
