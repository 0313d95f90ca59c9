"""Trimap IoU: IoU in a band around the target's label changes (paper, section 4, tIoU)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from netwarp.errors import ConfigurationError
from netwarp.label_sets import IGNORE
from netwarp.metrics.iou import IoU, check_classes, iou_per_class, mean_iou, pair_numbers
from netwarp.metrics.metric import Labels, Metric, as_labels


def trimap(labels: Labels, width: int) -> Tensor:
    """The band of pixels within ``width`` of a label change: bool of the labels' shape, False on ignored pixels.

    The pixels on both sides of a change (one of whose four neighbours has another label) are at distance 1; from there
    the distance is the chessboard distance. A band of width w is thus the two sides of the change, dilated by a
    (2w−1)×(2w−1) square. The authors' script names the side of that square: its 3 is width 2, the paper's default. A
    change from or to ignored pixels (255) counts, as in that script; the edge of the frame does not.

    >>> trimap(torch.tensor([[7, 7, 7, 3, 3, 3]]), width=2).int().tolist()
    [[0, 1, 1, 1, 1, 0]]
    """
    maps = as_labels(labels, "the labels of a trimap")
    return ((trimap_distance(maps, width) <= width) & (maps != IGNORE)).reshape(labels.shape)


def trimap_distance(labels: Labels, furthest: int) -> Tensor:
    """Each pixel's distance from a label change (255 is a label too): int32, 1 to ``furthest + 1``, which is "or more".

    >>> trimap_distance(torch.tensor([[7, 7, 7, 7, 3]]), furthest=2).tolist()
    [[3, 3, 2, 1, 1]]
    """
    _check_width(furthest)
    maps = as_labels(labels, "the labels of a trimap")
    band = torch.zeros_like(maps, dtype=torch.bool)
    across = maps[:, :, 1:] != maps[:, :, :-1]
    down = maps[:, 1:] != maps[:, :-1]
    band[:, :, 1:] |= across
    band[:, :, :-1] |= across
    band[:, 1:] |= down
    band[:, :-1] |= down
    # The bands of all widths lie inside each other: a pixel is as far away as there are bands that it is not in.
    distance = torch.full_like(maps, furthest + 1, dtype=torch.int32) - band.int()
    for _ in range(furthest - 1):
        band = _king_step(band)
        distance -= band.view(torch.uint8)
    return distance.reshape(labels.shape)


def _check_width(width: int) -> None:
    if width < 1:
        raise ConfigurationError(f"the width of a trimap must be at least 1 pixel, not {width}")


def _king_step(band: Tensor) -> Tensor:
    """Dilate ``[B,H,W]`` by a 3×3 square: across, then down."""
    wide = band.clone()
    wide[:, :, 1:] |= band[:, :, :-1]
    wide[:, :, :-1] |= band[:, :, 1:]
    square = wide.clone()
    square[:, 1:] |= wide[:, :-1]
    square[:, :-1] |= wide[:, 1:]
    return square


class TrimapIoU(IoU):
    """IoU over a data set, of the pixels in the target's :func:`trimap`; ``width`` in pixels, the paper's is 2."""

    def __init__(self, classes: int, width: int = 2) -> None:
        _check_width(width)
        super().__init__(classes)
        self.width = width

    def update(self, prediction: Labels, target: Labels) -> None:
        """Add frames; see :func:`netwarp.metrics.confusion_matrix`."""
        wanted = as_labels(target, "the target")
        band = trimap(wanted, self.width)
        super().update(prediction, wanted.masked_fill(~band, IGNORE).reshape(target.shape))


def band_matrices(prediction: Labels, target: Labels, classes: int, widths: Sequence[int]) -> Tensor:
    """Confusion matrices in bands of ascending widths, then of all pixels: int64 ``[widths+1, classes, classes+1]``.

    Arguments are those of :func:`netwarp.metrics.confusion_matrix`. All are counted in one pass.
    """
    pairs = pair_numbers(prediction, target, classes)
    distance = trimap_distance(target, widths[-1]).to(pairs.device).reshape(pairs.shape)
    # The narrowest band that a pixel is in; bands are then summed from the inside out.
    edges = torch.tensor(widths, dtype=torch.int32, device=pairs.device)
    narrowest = torch.bucketize(distance, edges, out_int32=True)
    size, cells = classes + 1, (classes + 1) ** 2
    rings = torch.bincount((narrowest * cells + pairs).flatten(), minlength=(len(widths) + 1) * cells).cpu()
    return rings.view(-1, size, size)[:, :-1].cumsum(0)


class TrimapCurve(Metric):
    """:class:`TrimapIoU` at several widths in one pass (the paper's figure 4).

    Attributes:
        classes: Number of classes, 1 to 255.
        widths: Widths of the bands in pixels, each once, ascending.
        matrices: int64 ``[widths, classes, classes+1]``, a confusion matrix for each band.
        everywhere: int64 ``[classes, classes+1]``, the confusion matrix of all pixels.

    >>> curve = TrimapCurve(classes=2, widths=(1, 3))
    >>> curve.update(torch.tensor([[0, 0, 1, 1, 1, 0]]), torch.tensor([[0, 0, 0, 1, 1, 1]]))
    >>> curve.compute()
    {1: 25.0, 3: 50.0}
    """

    matrices: Tensor
    everywhere: Tensor

    def __init__(self, classes: int, widths: Iterable[int] = range(1, 21)) -> None:
        check_classes(classes)
        self.classes = classes
        self.widths = tuple(sorted(set(widths)))
        if not self.widths:
            raise ConfigurationError("a curve of trimaps needs at least one width")
        _check_width(self.widths[0])
        super().__init__(matrices=(len(self.widths), classes, classes + 1), everywhere=(classes, classes + 1))

    def update(self, prediction: Labels, target: Labels) -> None:
        """Add frames; see :func:`netwarp.metrics.confusion_matrix`."""
        counted = band_matrices(prediction, target, self.classes, self.widths)
        self.matrices, self.everywhere = self.matrices + counted[:-1], self.everywhere + counted[-1]

    def per_class(self) -> Tensor:
        """float64 ``[widths, classes]`` in percent, nan for classes that occur nowhere in a band."""
        return torch.stack([iou_per_class(matrix) for matrix in self.matrices])

    def compute(self) -> dict[int, float]:
        """The mean over the classes that occur in a band, in percent, by its width; nan where there is none."""
        return {width: mean_iou(matrix) for width, matrix in zip(self.widths, self.matrices, strict=True)}
