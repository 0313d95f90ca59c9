"""A row's recipe as a training: from its start, from where it was cut off, or its end if that was kept."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, cast

import torch
from torch import nn

from netwarp.bases import load_base
from netwarp.bases.spec import lay_channels_last
from netwarp.datasets.augment_settings import Augmentation
from netwarp.datasets.class_order import in_order_of
from netwarp.datasets.clips import ClipData
from netwarp.datasets.registry import open_data
from netwarp.errors import ConfigurationError, WeightsError
from netwarp.flow import PrecomputedFlow
from netwarp.lab.study.build import trained_parameters
from netwarp.lab.study.folds import Fold, with_flow
from netwarp.lab.study.rows import TRUE_FLOW, Row
from netwarp.lab.study.store import data_digest, environment, key_of
from netwarp.model import VideoModel
from netwarp.model.inputs import preprocess_of
from netwarp.model.model_file import read
from netwarp.output_files import Lock, set_aside, write_file
from netwarp.output_places import prepare_folder
from netwarp.training import Consistency, Rates, TrainSettings, train
from netwarp.training.checkpoint import RunFolder, restore
from netwarp.weights import safetensors_file

log = logging.getLogger("netwarp")


def file_lock(folder: Path) -> Lock:
    """A lock on a folder, which need not exist: others wait for it; a process that is killed keeps nobody out."""
    prepare_folder(folder.parent)
    return Lock(folder.with_name(f"{folder.name}.work"), "working on", wait=True)


@dataclass(frozen=True)
class BaseTraining:
    """How a network is trained before the experiment."""

    data: str  # what on, as for open_data: other clips than the experiment's
    split: str = "train"  # of it
    steps: int = 450  # batches
    batch_size: int = 8  # frames in a batch
    rate: float = 5e-3  # highest learning rate
    weights: str | None = None  # that it starts from, as for load_base; None for random ones
    crop: tuple[int, int] = (144, 256)  # (height, width) of the windows that are looked at, at most
    dropout: float | None = None  # share that its dropout layers leave out; None leaves that to the network
    channels_last: bool = False  # lay its weights out so, which rounds otherwise, and is faster for networks like VGG
    size: tuple[int, int] | None = None  # (height, width) that frames get for it, instead of windows


def trained_base(
    spec: str,
    classes: int | Sequence[str] | None,
    how: BaseTraining,
    folder: Path,
    device: str = "cpu",
    progress: bool = False,
    cache: Path | None = None,
) -> Path:
    """Train a network frame by frame, go on with that, or find that it was done before.

    Of two processes that need the same network, one trains it and the other waits.
    """
    data = open_data(how.data, how.split, length=1, cache=cache)
    classes = data.classes.names if classes is None else classes
    settings = {name: value for name, value in asdict(how).items() if name not in ("data", "split")}
    for name in ("weights", "size"):  # newer than networks that were kept, which have no such settings
        if settings[name] is None:
            del settings[name]
    network = {"base": spec, "classes": classes if isinstance(classes, int) else list(classes)}
    # What the data holds, and not where it lies.
    key = key_of({**environment(device), "data": data_digest(data), **network, "how": settings})
    path, folder = folder / f"base-{key}.safetensors", folder / f"base-{key}"
    with file_lock(folder):
        if not path.is_file():
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                base = load_base(spec, how.weights, classes).to(device)
            state = _train_base(base, how, data, folder, device, progress).state_dict()
            write_file(path, safetensors_file(state, {}))
            shutil.rmtree(folder, ignore_errors=True)
    return path


def _train_base(
    base: nn.Module, how: BaseTraining, data: ClipData, folder: Path, device: str, progress: bool
) -> nn.Module:
    data = in_order_of(data, cast(Sequence[str], base.classes))
    samples = data.samples(1)
    if not samples:
        raise ConfigurationError(f"{data.name} has no labelled frames to train the network on")
    if how.channels_last:
        lay_channels_last(base)
    set_dropout(base, how.dropout)
    height, width = samples[0].frames[-1].image().shape[:2]
    crop = (min(how.crop[0], height), min(how.crop[1], width)) if how.size is None else None
    model = VideoModel(resized(base, how.size), layers=[], flow_cnn=None)
    settings = TrainSettings(
        steps=how.steps,
        batch_size=how.batch_size,
        rate=how.rate,
        class_weights="inverse_log",
        augment=Augmentation(flip=0.5, crop=crop),
        accelerator=_accelerator(device),
    )
    train(model, samples, settings, classes=len(data.classes), folder=folder, progress=progress)
    return model.remove()


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
    """Train a row's model on its fold."""
    place = None if folder is None else RunFolder(folder)
    data, flow = fold.train, model.flow
    if isinstance(flow, PrecomputedFlow):  # looked up by number in a clip, which samples do not know
        data, model.flow = with_flow(data, flow), TRUE_FLOW
    try:
        others = [window for window in data.windows(row.length) if window.frames[-1].labels is None]
        settings = _settings(model, row, seed, device, unlabelled=bool(others))
        with nullcontext() if place is None else file_lock(place.path):
            if place is not None and place.model.is_file() and not place.last.exists():
                try:
                    restore(model, read(place.model).tensors, place.model)
                except WeightsError as error:  # damaged: trained anew
                    log.warning("%s", error)
                    set_aside(place.model)
                else:
                    return []
            losses = train(
                model, data.samples(row.length), settings, classes=len(data.classes), unlabelled=others, cache=cache,
                replay=replay, folder=folder,
            ).losses  # fmt: skip
            if place is not None and row.kept:  # for others, who find the model
                place.forget_checkpoints(all_of_them=True)
        return losses
    finally:
        model.flow = flow


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
        class_weights="inverse_log" if recipe.class_weights else "none",
        class_weight_constant=recipe.class_weights or TrainSettings.class_weight_constant,
        freeze_batch_norm=recipe.freeze_batch_norm,
        augment=Augmentation(flip=recipe.flip, crop=recipe.crop),
        consistency=Consistency(row.consistency, recipe.batch_size if row.consistency and unlabelled else 0),
        seed=seed,
        accelerator=_accelerator(device),
    )


def _accelerator(device: str) -> Literal["gpu", "cpu"]:
    return "gpu" if device.startswith("cuda") else "cpu"


def resized(base: nn.Module, size: tuple[int, int] | None) -> nn.Module:
    """The network, which gets frames of another size (height, width) than theirs; None leaves it to itself."""
    if size is not None:
        base.preprocess = replace(preprocess_of(base), size=size)  # type: ignore[assignment]
    return base


def set_dropout(network: nn.Module, share: float | None) -> None:
    """Let a network's dropout layers leave out another share; None leaves them as they are."""
    for module in network.modules():
        if share is not None and isinstance(module, (nn.Dropout, nn.Dropout2d)):
            module.p = share


def leave(folder: Path, *, kept: bool) -> None:
    """Tidy up when a row's figures are kept: of its training nothing is left, or the model alone."""
    if kept or not folder.is_dir():
        return
    with file_lock(folder):
        shutil.rmtree(folder, ignore_errors=True)
