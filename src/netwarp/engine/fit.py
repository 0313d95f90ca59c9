"""A short plain training loop over pairs of frames (paper, section 3.1, "Usage and Training")."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from netwarp.errors import ConfigurationError, WeightsError
from netwarp.metrics.labels import IGNORE
from netwarp.model import VideoModel
from netwarp.model.probe import base_device

__all__ = ["Pair", "class_weights", "fit", "hold_w2"]


Picture = npt.NDArray[np.uint8]


class Pair(Protocol):
    """A frame and the one before it, RGB uint8 ``[H,W,3]``, and the later one's labels ``[H,W]``, 255 = ignore."""

    @property
    def previous(self) -> Picture: ...  # noqa: D102
    @property
    def current(self) -> Picture: ...  # noqa: D102
    @property
    def labels(self) -> Picture: ...  # noqa: D102


def class_weights(pairs: Sequence[Pair], classes: int) -> Tensor:
    """Weights that let rare classes count: 1 / ln(1.05 + frequency), after ENet (arXiv 1606.02147).

    Args:
        pairs: Where to count.
        classes: Number of classes.

    Returns:
        float32 ``[classes]``, from 1.4 (everywhere) to 20.5 (nowhere).
    """
    counts = sum(np.bincount(pair.labels[pair.labels != IGNORE], minlength=classes) for pair in pairs)
    counts = np.asarray(counts, np.float64)
    return torch.from_numpy(1 / np.log(1.05 + counts / max(counts.sum(), 1))).float()


def hold_w2(model: VideoModel) -> VideoModel:
    """Make a model the control of its own experiment: every w2 is held at 0, everything else stays as it is.

    w1 takes over what w2 had, so that the model starts with the same total weight. Returns the model.
    """
    with torch.no_grad():
        for netwarp in model.netwarps:
            netwarp.w1.add_(netwarp.w2)  # type: ignore[operator, arg-type]
            netwarp.w2.zero_().requires_grad_(False)  # type: ignore[operator]
    return model


def fit(
    model: VideoModel,
    pairs: Sequence[Pair],
    *,
    steps: int,
    batch_size: int = 8,
    rate: float = 1e-3,
    netwarp_rate: float | None = None,
    weights: Tensor | None = None,
    crop: tuple[int, int] | None = None,
    seed: int = 0,
    watch: Callable[[float], None] | None = None,
) -> list[float]:
    """Train what requires gradients, with Adam and cross entropy on random flips and crops.

    A base of which nothing requires gradients is frozen: it stays in evaluation mode, batch norm included. The order
    of the data, all flips and crops follow from ``seed`` alone, so that two models can be trained on the same.

    Args:
        model: With ``layers=[]`` the network itself is trained, frame by frame. In evaluation mode afterwards.
        pairs: All of one size.
        steps: Number of batches.
        batch_size: Pairs in a batch.
        rate: Highest learning rate; it rises over the first twentieth of the steps and falls to 0 along a cosine.
        netwarp_rate: The same for w1 and w2; by default ``rate``.
        weights: ``[classes]``, of the classes in the loss (:func:`class_weights`).
        crop: (height, width) of the random windows, or None for whole frames.
        seed: Of the data's order.
        watch: Called with the loss after every step.

    Returns:
        The loss of each step.

    Raises:
        ConfigurationError: nothing to train, or nothing to train on.
        WeightsError: the loss is not finite.
    """
    if not pairs or steps < 1 or batch_size < 1:
        raise ConfigurationError(f"cannot train on {len(pairs)} pairs for {steps} steps of {batch_size}")
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    if not named:
        raise ConfigurationError("nothing to train: no parameter of the model requires a gradient")
    groups = [
        {"params": [p for name, p in named if name.startswith("netwarps.") == own], "lr": lr}
        for own, lr in ((True, rate if netwarp_rate is None else netwarp_rate), (False, rate))
    ]
    optimiser = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _share_of_rate(step, steps))
    device = base_device(model.base)
    weights = None if weights is None else weights.to(device)
    rng = np.random.default_rng(seed)
    model.train()
    losses: list[float] = []
    order = itertools.chain.from_iterable(rng.permutation(len(pairs)).tolist() for _ in itertools.count())
    try:
        for _ in range(steps):
            batch = [pairs[index] for index in itertools.islice(order, batch_size)]
            previous, current, labels = _stack(batch, crop, rng)
            logits = model(current.to(device), previous.to(device))
            loss = F.cross_entropy(logits, labels.to(device), weights, ignore_index=IGNORE)
            losses.append(float(loss.detach()))
            if not math.isfinite(losses[-1]):
                raise WeightsError(f"the loss is {losses[-1]} at step {len(losses)}: lower the learning rate")
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            if watch is not None:
                watch(losses[-1])
    finally:
        model.eval()
    return losses


def _share_of_rate(step: int, steps: int) -> float:
    return min(1.0, (step + 1) / max(steps // 20, 1)) * (1 + math.cos(math.pi * step / steps)) / 2


def _stack(pairs: Sequence[Pair], crop: tuple[int, int] | None, rng: np.random.Generator) -> Sequence[Tensor]:
    """Previous and current frames ``[B,3,h,w]`` uint8 and labels ``[B,h,w]``, flipped and cropped at random."""
    stacked: tuple[list[Tensor], ...] = ([], [], [])
    for pair in pairs:
        height, width = pair.labels.shape
        h, w = (height, width) if crop is None else (min(crop[0], height), min(crop[1], width))
        top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
        flip = bool(rng.integers(2))
        for into, array in zip(stacked, (pair.previous, pair.current, pair.labels), strict=True):
            window = array[top : top + h, left : left + w]
            into.append(torch.from_numpy(np.ascontiguousarray(window[:, ::-1] if flip else window)))
    frames = [torch.stack(images).permute(0, 3, 1, 2).contiguous() for images in stacked[:2]]
    return frames[0], frames[1], torch.stack(stacked[2]).long()
