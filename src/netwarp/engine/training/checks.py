"""What is seen to be wrong before anything is read or written."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from netwarp.data.clips import ClipData, Sample
from netwarp.engine.training.folder import RunFolder
from netwarp.engine.training.logs import check_tensorboard
from netwarp.engine.training.settings import TrainSettings
from netwarp.engine.training.validation import check_validation
from netwarp.errors import ConfigurationError, InputError
from netwarp.model import VideoModel
from netwarp.model.saved import configuration

__all__ = ["check_training"]


def check_training(
    model: VideoModel,
    samples: Sequence[Sample],
    settings: TrainSettings,
    classes: int,
    unlabelled: Sequence[Sample],
    validation: ClipData | None,
    place: RunFolder | None,
) -> None:
    """Check the arguments of :func:`netwarp.engine.training.train` against each other, the machine and the folder.

    Raises:
        ConfigurationError: They make no sense together, or the machine cannot do it.
        InputError: Clips differ in length, or have no labels.
        MissingExtraError: TensorBoard is not installed.
        OutputError: The folder cannot be used.
    """
    _check_clips(samples, unlabelled, settings)
    outputs = len(model.classes)
    if not 1 <= classes <= outputs:
        raise ConfigurationError(
            f"labels have {classes} classes, but the network has {outputs} outputs: load it with classes={classes}"
        )
    if not isinstance(settings.class_weights, str) and len(settings.class_weights) != classes:
        raise ConfigurationError(f"class_weights has {len(settings.class_weights)} values for {classes} classes")
    if validation is None and settings.validate_every is not None:
        raise ConfigurationError("validate_every needs clips to validate on")
    if validation is not None and len(validation.classes) != classes:
        raise ConfigurationError(
            f"{validation.name} has {len(validation.classes)} classes, what is trained on has {classes}"
        )
    if validation is not None and settings.patience is not None:
        check_validation(validation, settings.monitor)
    _check_machine(settings)
    if place is None:
        if settings.tensorboard:
            raise ConfigurationError("tensorboard needs a folder to write to")
        return
    if settings.tensorboard:
        check_tensorboard()
    configuration(model)
    place.check()


def _check_clips(samples: Sequence[Sample], unlabelled: Sequence[Sample], settings: TrainSettings) -> None:
    if not samples:
        raise ConfigurationError("nothing to train on: there is no labelled clip")
    length = len(samples[0].frames)
    for sample in (*samples, *unlabelled):
        if len(sample.frames) != length:
            raise InputError(f"{sample.name} has {len(sample.frames)} frames, {samples[0].name} has {length}")
    for sample in samples:
        if sample.frames[-1].labels is None:
            raise InputError(f"{sample.name} has no labels to train on")
    if settings.consistency.weight and length < 2:
        raise ConfigurationError("consistency is between neighbouring frames: clips need at least 2")
    if settings.consistency.unlabelled and not unlabelled:
        raise ConfigurationError("consistency.unlabelled asks for clips without labels, and there are none")


def _check_machine(settings: TrainSettings) -> None:
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if settings.accelerator == "gpu" and not gpus:
        raise ConfigurationError("accelerator gpu: torch finds no GPU here: take cpu, or leave it out")
    if settings.accelerator != "cpu" and gpus and settings.devices > gpus:
        raise ConfigurationError(f"devices {settings.devices}: there are {gpus} GPUs")
