"""Instance IoU: iIoU = iTP / (iTP + FP + iFN), where a small object weighs as much as a large (paper, section 4)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from netwarp.errors import ConfigurationError, InputError
from netwarp.label_sets import IGNORE
from netwarp.metrics.iou import check_classes, confusion_matrix
from netwarp.metrics.metric import ONE, Labels, Metric, as_labels

_ID_BITS = 32


def instance_counts(prediction: Labels, target: Labels, instances: Labels, classes: int) -> Tensor:
    """Count each class's objects, how much of them was found, and the pixels wrongly taken for it; frames add up.

    An object is the pixels of one class and one number in one frame; ``instances`` are those numbers in 32 bits, of the
    target's shape, 0 = none. A crowd whose objects are not told apart is 0: it counts only where it is taken for
    another class. The rest is as for :func:`netwarp.metrics.confusion_matrix`.

    Returns:
        int64 ``[4, classes]`` on the CPU: the sum over objects of the share that was found, in units of
        1/:data:`netwarp.metrics.metric.ONE`; the number of objects; their pixels; pixels of other classes taken for
        this one.

    >>> target = torch.tensor([[1, 1, 1, 1, 1, 0]])
    >>> counts = instance_counts(torch.tensor([[1, 1, 0, 0, 1, 1]]), target, torch.tensor([[7, 7, 7, 7, 8, 0]]), 2)
    >>> (counts[0] / ONE).tolist(), counts[1:].tolist()
    ([0.0, 1.5], [[0, 2], [0, 5], [2, 1]])
    """
    matrix = confusion_matrix(prediction, target, classes)
    predicted, wanted = as_labels(prediction, "the prediction"), as_labels(target, "the target")
    numbers = as_labels(instances, "the instances")
    if numbers.shape != wanted.shape:
        raise InputError(
            f"instances and target differ in shape, {list(numbers.shape)} and {list(wanted.shape)}: "
            "give the instances of the same frames"
        )
    limits = np.iinfo(np.int32)
    if numbers.numel() and not (limits.min <= int(numbers.min()) and int(numbers.max()) <= limits.max):
        raise InputError("the numbers of instances must fit into 32 bits: they are to be int32")
    wanted, numbers = wanted.to(predicted.device), numbers.to(predicted.device)
    belongs = (numbers != 0) & (wanted != IGNORE)
    frame = torch.arange(len(wanted), device=wanted.device)[:, None, None]
    of_object = (((frame * classes + wanted) << _ID_BITS) + (numbers - limits.min))[belongs]
    objects, which, sizes = torch.unique(of_object, return_inverse=True, return_counts=True)
    found = torch.bincount(which[predicted[belongs] == wanted[belongs]], minlength=len(objects))
    shares = (2 * found * ONE + sizes) // (2 * sizes)
    of_class = (objects >> _ID_BITS) % classes
    counts = torch.zeros(3, classes, dtype=torch.int64, device=predicted.device)
    counts.index_add_(1, of_class, torch.stack([shares, torch.ones_like(sizes), sizes]))
    wrongly_taken = matrix[:, :-1].sum(0) - matrix.diagonal()
    return torch.cat([counts.cpu(), wrongly_taken[None]])


def iiou_per_class(counts: Tensor, average_sizes: Mapping[int, float] | None = None) -> Tensor:
    """Instance IoU of each class from :func:`instance_counts`: float64 ``[classes]`` in percent, nan without objects.

    An object's pixels weigh the average size of its class / its own size. ``average_sizes`` has the pixels of an
    average object by class, and other classes have no objects; None takes the average over the counted objects. As in
    Cityscapes' own evaluation, a class of ``average_sizes`` without objects has 0 where something was taken for it.
    """
    shares, number, pixels, wrongly_taken = counts.double().unbind()
    shares = shares / ONE
    if average_sizes is None:
        average = pixels / number
    else:
        _check_sizes(average_sizes, counts.shape[1])
        average = torch.full_like(shares, torch.nan)
        for label, size in average_sizes.items():
            average[label] = size
    return 100 * average * shares / (average * number + wrongly_taken)


def _check_sizes(sizes: Mapping[int, float], classes: int) -> None:
    for label, size in sizes.items():
        if not 0 <= label < classes:
            raise ConfigurationError(f"there is an average size for class {label}, but there are {classes} classes")
        if not 0 < size < float("inf"):
            raise ConfigurationError(f"the average size of class {label} must be positive, not {size}")


class InstanceIoU(Metric):
    """Instance IoU over a data set, equal to Cityscapes' own evaluation with its average sizes.

    Attributes:
        classes: Number of classes, 1 to 255.
        average_sizes: As for :func:`iiou_per_class`; Cityscapes' are :data:`.AVERAGE_INSTANCE_SIZES`.
        counts: int64 ``[4, classes]``, from :func:`instance_counts`.
    """

    counts: Tensor

    def __init__(self, classes: int, average_sizes: Mapping[int, float] | None = None) -> None:
        check_classes(classes)
        if average_sizes is not None:
            _check_sizes(average_sizes, classes)
        self.classes = classes
        self.average_sizes = None if average_sizes is None else dict(average_sizes)
        super().__init__(counts=(4, classes))

    def update(self, prediction: Labels, target: Labels, instances: Labels) -> None:
        """Add frames; see :func:`instance_counts`."""
        self.counts = self.counts + instance_counts(prediction, target, instances, self.classes)

    def per_class(self) -> Tensor:
        """float64 ``[classes]`` in percent, nan for classes without objects."""
        return iiou_per_class(self.counts, self.average_sizes)

    def compute(self) -> float:
        """Mean over the classes that have a value, in percent; nan where there is none."""
        return float(self.per_class().nanmean())
