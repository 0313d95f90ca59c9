"""A row's recipe as a training: from its start, from where it was cut off, or its end if that was kept."""

from __future__ import annotations

import math
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from netwarp.data.random_views import Augmentation
from netwarp.engine.training import Consistency, Rates, TrainSettings, train
from netwarp.engine.training.checkpoint import restore
from netwarp.engine.training.folder import RunFolder
from netwarp.model import VideoModel
from netwarp.model.saved import read
from netwarp.report.experiment.alone import alone_in
from netwarp.report.experiment.build import trained_parameters
from netwarp.report.experiment.folds import Fold
from netwarp.report.experiment.rows import Row

__all__ = ["ends", "leave", "set_dropout", "train_row"]


def train_row(
    model: VideoModel,
    row: Row,
    fold: Fold,
    seed: int,
    *,
    device: str,
    cache: Path,
    replay: bool,
    folder: Path | None = None,
) -> list[float]:
    """Train a row's model on its fold.

    Args:
        model: As :func:`netwarp.report.experiment.build.build` made it.
        row: Whose recipe it is.
        fold: Whose training part is trained on.
        seed: Of the order and the views.
        device: Where the model is.
        cache: Folder that estimated flow is kept in.
        replay: As for :func:`netwarp.engine.training.train`.
        folder: Where the training goes on if it was cut off; a model that lies there is the result. None keeps nothing.
            Of two processes that need the same training, one does it and the other waits.

    Returns:
        The loss of each step; nothing where the result was there.

    Raises:
        NetWarpError: It cannot be trained or kept.
    """
    samples = fold.train.samples(row.length)
    others = [window for window in fold.train.windows(row.length) if window.frames[-1].labels is None]
    classes = len(fold.train.classes)
    settings = _settings(model, row, seed, device, unlabelled=bool(others))
    options: dict[str, Any] = {"unlabelled": others, "cache": cache, "replay": replay, "folder": folder}
    if folder is None:
        return train(model, samples, settings, classes=classes, **options).losses
    place = RunFolder(folder)
    with alone_in(folder):
        if place.model.is_file() and not place.last.exists():
            restore(model, read(place.model).tensors)
            return []
        losses = train(model, samples, settings, classes=classes, **options).losses
        if row.kept:  # for others, who find the model
            place.last.unlink()
    return losses


def _settings(model: VideoModel, row: Row, seed: int, device: str, *, unlabelled: bool) -> TrainSettings:
    recipe = row.recipe
    parts = {name.partition(".")[0] for name in trained_parameters(model)}
    rates = {
        "base": recipe.base_rate,
        "netwarps": recipe.netwarp_rate,
        "flow_cnn": recipe.flow_cnn_rate,
        "gate": recipe.gate_rate,
    }
    return TrainSettings(
        steps=recipe.steps,
        batch_size=recipe.batch_size,
        rates=Rates(**{part: rate for part, rate in rates.items() if part in parts}),
        class_weights="inverse_log",
        class_weight_constant=recipe.class_weights,
        augment=Augmentation(flip=recipe.flip, crop=recipe.crop),
        consistency=Consistency(
            weight=row.consistency, unlabelled=recipe.batch_size if row.consistency and unlabelled else 0
        ),
        seed=seed,
        accelerator="gpu" if device.startswith("cuda") else "cpu",
    )


def set_dropout(network: nn.Module, share: float | None) -> None:
    """Let a network's dropout layers leave out another share; None leaves them as they are."""
    for module in network.modules():
        if share is not None and isinstance(module, (nn.Dropout, nn.Dropout2d)):
            module.p = share


def leave(folder: Path, *, kept: bool) -> None:
    """Tidy up when a row's figures are kept: of its training nothing is left, or the model alone."""
    if kept or not folder.is_dir():
        return
    with alone_in(folder):
        shutil.rmtree(folder, ignore_errors=True)


def ends(losses: Sequence[float]) -> tuple[float, float]:
    """The mean loss over the first and over the last tenth of the steps; nan without steps."""
    count = max(len(losses) // 10, 1)
    return (statistics.fmean(losses[:count]), statistics.fmean(losses[-count:])) if losses else (math.nan, math.nan)
