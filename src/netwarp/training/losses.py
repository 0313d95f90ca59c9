"""What is minimised: the task's loss of labels (cross entropy), and the disagreement of neighbouring frames.

Both are sums divided by what the whole step counts, over all its batches and devices, so that a step means the same
however it is cut into pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netwarp.errors import InputError
from netwarp.label_sets import IGNORE
from netwarp.model import PhotometricGate
from netwarp.model.inputs import to_unit_range
from netwarp.model.task import Task
from netwarp.ops import warp
from netwarp.ops.reference import inside


def class_weights(labels: Iterable[NDArray[np.uint8]], classes: int, constant: float = 1.05) -> Tensor:
    """Weights that let rare classes count: 1 / ln(constant + frequency), after ENet (arXiv 1606.02147)."""
    counts = np.zeros(classes)
    for image in labels:
        counted = np.bincount(image[image != IGNORE].ravel(), minlength=classes)
        if len(counted) > classes:
            raise InputError(
                f"a label map holds label {len(counted) - 1}, but there are {classes} classes (0 to {classes - 1}, and "
                f"{IGNORE} = ignore)"
            )
        counts += counted
    return torch.from_numpy(1 / np.log(constant + counts / max(counts.sum(), 1))).float()


def label_weight(labels: Tensor, weights: Tensor | None) -> Tensor:
    """What the labels count: the sum of their classes' weights."""
    counted = labels[labels != IGNORE]
    return (
        torch.tensor(float(counted.numel()), dtype=torch.float64, device=labels.device)
        if weights is None
        else (weights.double()[counted].sum())
    )


def consistency_sum(
    logits: Sequence[Tensor], frames: Tensor, flows: Tensor, gate: PhotometricGate, task: Task
) -> Tensor:
    """How far each frame is from the labels that the flow brings, where the flow can be trusted.

    The task's disagreement (KL(brought ‖ present) of the classes' probabilities), times the photometric gate, where the
    flow comes from inside the frame. What is brought is detached: the present is to follow the past, not the other way
    round (its gradient is then also that of cross entropy). Mean over pixels and pairs of frames, sum over clips.
    """
    total = logits[0].new_zeros((), dtype=torch.float32)
    for t in range(1, len(logits)):
        flow = flows[:, t - 1]
        brought = warp(task.probabilities(logits[t - 1].detach().float()), flow)
        disagreement = task.disagreement(logits[t], brought)
        trust = gate(to_unit_range(frames[:, t]), to_unit_range(frames[:, t - 1]), flow)
        total = total + (disagreement * trust * inside(flow).all(1, keepdim=True)).mean((1, 2, 3)).sum()
    return total / (len(logits) - 1)
