"""What is looked at before the first step: arguments against each other, clips, labels, the machine and the folder."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from netwarp.datasets.augment_settings import Augmentation
from netwarp.datasets.check import label_counts, never_labelled
from netwarp.datasets.clips import ClipData, Sample
from netwarp.errors import ConfigurationError, InputError, NetWarpError
from netwarp.model import VideoModel
from netwarp.training.checkpoint import RunFolder
from netwarp.training.logs import check_tensorboard
from netwarp.training.settings import TrainSettings

log = logging.getLogger("netwarp")


def check_training(
    model: VideoModel,
    samples: Sequence[Sample],
    settings: TrainSettings,
    classes: int,
    unlabelled: Sequence[Sample],
    validation: ClipData | None,
    place: RunFolder | None,
) -> None:
    """Check the arguments of :func:`netwarp.training.train` against each other, the machine and the folder."""
    _check_clips(samples, unlabelled, settings)
    model.task.check_training()
    outputs = len(model.classes)
    if not 1 <= classes <= outputs:
        raise ConfigurationError(
            f"labels have {classes} classes, but the network has {outputs} outputs: load it with classes={classes} "
            f"(--model.classes {classes})"
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
        _check_validation(validation, settings.monitor)
    _check_machine(settings)
    if place is None:
        if settings.tensorboard:
            raise ConfigurationError("tensorboard needs a folder to write to")
        return
    if settings.tensorboard:
        check_tensorboard()
    model.configuration()  # raises where the model cannot be saved
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
    if settings.keyframes and length < 3:
        raise ConfigurationError(f"keyframes are drawn from clips of 3 frames or more, not {length}: --data.length 5")
    if settings.consistency.weight and length < 2:
        raise ConfigurationError("consistency is between neighbouring frames: clips need at least 2")
    if settings.consistency.unlabelled and not unlabelled:
        raise ConfigurationError("consistency.unlabelled asks for clips without labels, and there are none")


def _check_validation(data: ClipData, monitor: str) -> None:
    if monitor == "tc":
        if not any(len(clip.frames) > 1 for clip in data.clips):
            raise ConfigurationError(f"{data.name} has no clip of two frames to measure tc on")
    elif not any(frame.labels for clip in data.clips for frame in clip.frames):
        raise ConfigurationError(f"{data.name} has no labelled frame to measure {monitor} on")


def runs_on_gpu(settings: TrainSettings) -> bool:
    """Whether a training is one on GPUs, as asked for or as there are any."""
    return settings.accelerator == "gpu" or (settings.accelerator == "auto" and torch.cuda.is_available())


def _check_machine(settings: TrainSettings) -> None:
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if settings.accelerator == "gpu" and not gpus:
        raise ConfigurationError("accelerator gpu: torch finds no GPU here: take cpu, or leave it out")
    if settings.accelerator != "cpu" and gpus and settings.devices > gpus:
        raise ConfigurationError(f"devices {settings.devices}: there are {gpus} GPUs")


def warn_of_crop(samples: Sequence[Sample], augment: Augmentation) -> None:
    """Say that windows of the first frame's size are never full, at the largest scale either."""
    if augment.crop is None:
        return
    try:
        height, width = samples[0].frames[-1].image().shape[:2]
    except NetWarpError:  # said when its step is due
        return
    crop_height, crop_width = augment.crop
    if crop_height > height * augment.scale[1] or crop_width > width * augment.scale[1]:
        log.warning(
            "the crop of %d×%d (width×height) is larger than %s of %d×%d: edges are repeated outside, without labels",
            crop_width, crop_height, samples[0].frames[-1].name, width, height,
        )  # fmt: skip


def warn_of_labels(samples: Sequence[Sample], names: Sequence[str]) -> None:
    """Say before the first step which classes have no pixel to learn from."""
    labels = [frame.labels for frame in (sample.frames[-1] for sample in samples) if frame.labels is not None]
    try:
        doubt = never_labelled(label_counts(labels).tolist(), names)
    except NetWarpError:  # said when its step is due, with a checkpoint of all steps before
        return
    if doubt:
        log.warning("in what is trained on, %s", doubt)
