"""A network for data that nobody has published one for: trained first, frame by frame, on other clips."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from netwarp.bases import load_base
from netwarp.bases.layout import lay_channels_last
from netwarp.data.class_order import in_order_of
from netwarp.data.clips import ClipData
from netwarp.data.datasets import open_data
from netwarp.data.random_views import Augmentation
from netwarp.engine.training import TrainSettings, train
from netwarp.errors import ConfigurationError
from netwarp.model import VideoModel
from netwarp.report.experiment.alone import alone_in
from netwarp.report.experiment.identity import data_digest, key_of, surroundings
from netwarp.report.experiment.row_training import set_dropout
from netwarp.report.experiment.written import written

__all__ = ["BaseTraining", "trained_base"]


@dataclass(frozen=True)
class BaseTraining:
    """How a network is trained before the experiment.

    Attributes:
        data: What on, as for :func:`netwarp.data.datasets.open_data`: other clips than the experiment's.
        split: Of it.
        steps: Batches.
        batch_size: Frames in a batch.
        rate: Highest learning rate.
        crop: (height, width) of the windows that are looked at, at most.
        dropout: Share that its dropout layers leave out; None leaves that to the network.
        channels_last: Lay its weights out so, which rounds otherwise, and is faster for networks like VGG.
    """

    data: str
    split: str = "train"
    steps: int = 450
    batch_size: int = 8
    rate: float = 5e-3
    crop: tuple[int, int] = (144, 256)
    dropout: float | None = None
    channels_last: bool = False


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

    Args:
        spec: As for :func:`netwarp.load_base`.
        classes: Likewise; None takes the names of the data's.
        how: How it is trained.
        folder: Where its weights are kept.
        device: Where it is trained.
        progress: Show a bar.
        cache: As for :func:`netwarp.data.datasets.open_data`.

    Returns:
        A file of weights for ``load_base``.

    Raises:
        NetWarpError: It cannot be built, trained or kept.
    """
    data = open_data(how.data, how.split, length=1, cache=cache)
    classes = data.classes.names if classes is None else classes
    path = folder / f"base-{_key(spec, classes, how, data, device)}.safetensors"
    with alone_in(path.with_suffix("")):
        if not path.is_file():
            network = _trained(spec, classes, how, data, path.with_suffix(""), device, progress)
            with written(path) as file:
                file.write(_as_bytes(network))
            shutil.rmtree(path.with_suffix(""), ignore_errors=True)
    return path


def _key(spec: str, classes: int | Sequence[str], how: BaseTraining, data: ClipData, device: str) -> str:
    """Of all that the weights follow from: for the data, what it holds and not where it lies."""
    settings = {name: value for name, value in asdict(how).items() if name not in ("data", "split")}
    network = {"base": spec, "classes": classes if isinstance(classes, int) else list(classes)}
    return key_of({**surroundings(device), "data": data_digest(data), **network, "how": settings})


def _trained(
    spec: str,
    classes: int | Sequence[str],
    how: BaseTraining,
    data: ClipData,
    folder: Path,
    device: str,
    progress: bool,
) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        base = load_base(spec, classes=classes).to(device)
    names: Sequence[str] = base.classes  # type: ignore[assignment]
    data = in_order_of(data, names)
    samples = data.samples(1)
    if not samples:
        raise ConfigurationError(f"{data.name} has no labelled frames to train the network on")
    if how.channels_last:
        lay_channels_last(base)
    set_dropout(base, how.dropout)
    height, width = samples[0].frames[-1].image().shape[:2]
    model = VideoModel(base, layers=[], flow_cnn=None)
    settings = TrainSettings(
        steps=how.steps,
        batch_size=how.batch_size,
        rate=how.rate,
        class_weights="inverse_log",
        augment=Augmentation(flip=0.5, crop=(min(how.crop[0], height), min(how.crop[1], width))),
        accelerator="gpu" if device.startswith("cuda") else "cpu",
    )
    train(model, samples, settings, classes=len(data.classes), folder=folder, progress=progress)
    return model.remove()


def _as_bytes(network: nn.Module) -> bytes:
    from safetensors.torch import save

    tensors = network.state_dict().items()
    content: bytes = save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors})
    return content
