"""Intersection over union over a data set: IoU = TP / (TP + FP + FN) (paper, section 4)."""

from __future__ import annotations

import torch
from torch import Tensor

from netwarp.errors import ConfigurationError, InputError
from netwarp.label_sets import IGNORE
from netwarp.metrics.metric import Labels, Metric, as_labels


def confusion_matrix(prediction: Labels, target: Labels, classes: int) -> Tensor:
    """Count pixels by target (row) and prediction (column): int64 ``[classes, classes+1]`` on the CPU; frames add up.

    Both are integer ``[H,W]`` or ``[B,H,W]``. Targets of 255 are not counted. Predictions outside ``0 … classes-1``
    are wrong and go to the last column, as from a network with one output more than the target has classes ("void").

    >>> import numpy as np
    >>> confusion_matrix(np.array([[0, 1, 2, 1]]), np.array([[0, 1, 1, 255]]), classes=2).tolist()
    [[1, 0, 0], [0, 1, 1]]
    """
    pairs = torch.bincount(pair_numbers(prediction, target, classes).flatten(), minlength=(classes + 1) ** 2)
    return pairs.view(classes + 1, classes + 1)[:classes].cpu()


def pair_numbers(prediction: Labels, target: Labels, classes: int) -> Tensor:
    """Number each pixel's cell of the confusion matrix, row · (classes + 1) + column: int32 ``[B,H,W]``.

    Arguments are those of :func:`confusion_matrix`; row ``classes`` takes the ignored pixels.
    """
    check_classes(classes)
    predicted, wanted = as_labels(prediction, "the prediction"), as_labels(target, "the target")
    if predicted.shape != wanted.shape:
        raise InputError(
            f"prediction and target differ in shape: {list(predicted.shape)} and {list(wanted.shape)}; "
            "bring the logits to the target's size before taking labels"
        )
    low, high = (int(v) for v in torch.aminmax(wanted)) if wanted.numel() else (0, 0)
    # Where all fits into it, int32 from here on: half the memory to go through, which is what takes the time.
    row = wanted.to(predicted.device, torch.int32 if low >= 0 and high <= IGNORE else torch.int64)
    ignored = row == IGNORE
    if wanted.numel() and high >= classes:
        high = int(row.masked_fill(ignored, 0).max())
    if low < 0 or high >= classes:
        raise InputError(
            f"the target holds label {low if low < 0 else high}, but there are {classes} classes "
            f"(0 to {classes - 1}, and {IGNORE} = ignore)"
        )
    column = predicted.clamp(-1, classes).to(torch.int32)
    # Ignored pixels are counted too, in a row of their own that is cut off: twice as fast as picking the others out.
    return row.masked_fill(ignored, classes) * (classes + 1) + column.masked_fill(column < 0, classes)


def check_classes(classes: int) -> None:
    """Refuse a number of classes that is not 1 to 255."""
    if not 1 <= classes <= IGNORE:
        raise ConfigurationError(f"the number of classes must be 1 to {IGNORE} ({IGNORE} = ignore), not {classes}")


def iou_per_class(matrix: Tensor) -> Tensor:
    """IoU of each class from a confusion matrix: float64 ``[classes]`` in percent, nan for classes that do not occur.

    >>> iou_per_class(torch.tensor([[3, 1, 0], [0, 0, 0]])).tolist()
    [75.0, 0.0]
    """
    hits = matrix.diagonal().double()
    union = matrix.sum(1) + matrix[:, :-1].sum(0) - hits
    return 100 * hits / union


def mean_iou(matrix: Tensor) -> float:
    """Mean IoU over the classes that occur in a confusion matrix, in percent; nan where none does.

    >>> mean_iou(torch.tensor([[3, 1, 0], [0, 1, 0]]))
    62.5
    """
    return float(iou_per_class(matrix).nanmean())


class IoU(Metric):
    """IoU over a data set, from one confusion matrix of all frames.

    Attributes:
        classes: Number of classes, 1 to 255.
        matrix: int64 ``[classes, classes+1]``, the pixels so far.

    >>> import numpy as np
    >>> iou = IoU(classes=2)
    >>> iou.update(np.array([[0, 0, 1, 1]]), np.array([[0, 0, 0, 1]]))
    >>> round(iou.compute(), 2)
    58.33
    """

    matrix: Tensor

    def __init__(self, classes: int) -> None:
        check_classes(classes)
        self.classes = classes
        super().__init__(matrix=(classes, classes + 1))

    def update(self, prediction: Labels, target: Labels) -> None:
        """Add frames; see :func:`confusion_matrix`."""
        self.matrix = self.matrix + confusion_matrix(prediction, target, self.classes)

    def per_class(self) -> Tensor:
        """float64 ``[classes]`` in percent, nan for classes that occur nowhere."""
        return iou_per_class(self.matrix)

    def compute(self) -> float:
        """Mean over the classes that occur, in percent; nan before the first update."""
        return mean_iou(self.matrix)
