"""A network for data that nobody has published one for: trained first, frame by frame, on other clips."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from netwarp.atomic import written_whole
from netwarp.bases import load_base
from netwarp.bases.layout import lay_channels_last
from netwarp.data.datasets import open_data
from netwarp.data.output_path import reason
from netwarp.data.random_views import Augmentation
from netwarp.engine.training import TrainSettings, train
from netwarp.errors import ConfigurationError, OutputError
from netwarp.model import VideoModel
from netwarp.report.experiment.row_training import leave, set_dropout
from netwarp.report.experiment.units import FORMAT

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
        channels_last: Lay its weights out so, which rounds otherwise and saves networks like VGG a third of the time.
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
    from safetensors.torch import save

    data = open_data(how.data, how.split, length=1, cache=cache)
    samples = data.samples(1)
    if not samples:
        raise ConfigurationError(f"{data.name} has no labelled frames to train the network on")
    classes = data.classes.names if classes is None else classes
    names = [sample.name for sample in samples]
    told = {name: value for name, value in asdict(how).items() if value not in (None, False)}
    settings = json.dumps([FORMAT, spec, classes, told, names])
    path = folder / f"base-{hashlib.sha256(settings.encode()).hexdigest()[:12]}.safetensors"
    if path.is_file():
        return path
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        base = load_base(spec, classes=classes).to(device)
    if how.channels_last:
        lay_channels_last(base)
    set_dropout(base, how.dropout)
    height, width = samples[0].frames[-1].image().shape[:2]
    model = VideoModel(base, layers=[], flow_cnn=None)
    train(
        model,
        samples,
        TrainSettings(
            steps=how.steps,
            batch_size=how.batch_size,
            rate=how.rate,
            class_weights="inverse_log",
            augment=Augmentation(flip=0.5, crop=(min(how.crop[0], height), min(how.crop[1], width))),
            accelerator="gpu" if device.startswith("cuda") else "cpu",
        ),
        classes=len(data.classes),
        folder=path.with_suffix(""),
        progress=progress,
    )
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.remove().state_dict().items()}
    try:
        with written_whole(path) as file:
            file.write(save(state))
    except OSError as error:
        raise OutputError(f"cannot write {path} ({reason(error)}): free space or choose another --out") from error
    leave(path.with_suffix(""), kept=False)
    return path
