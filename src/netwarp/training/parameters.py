"""What is trained, and at which rates."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from netwarp.errors import ConfigurationError, unknown_name
from netwarp.flow import flow_source
from netwarp.model import VideoModel
from netwarp.training.settings import Consistency, TrainSettings


def hold_w2(model: VideoModel) -> VideoModel:
    """Make a model the control of its own experiment: every w2 is held at 0, everything else stays as it is.

    w1 takes over what w2 had, so that the model starts with the same total weight. Returns the model.
    """
    with torch.no_grad():
        for netwarp in model.netwarps:
            netwarp.w1.add_(netwarp.w2)  # type: ignore[operator, arg-type]
            netwarp.w2.zero_().requires_grad_(False)  # type: ignore[operator]
    return model


def as_control(model: VideoModel, settings: TrainSettings) -> tuple[VideoModel, TrainSettings]:
    """Make an untrained model its own control: what training alone gives, on the same labels for as long.

    Every w2 is held at 0, and what belongs to video alone goes: FlowCNN, gate, fused memory, the flow (zero takes its
    place), the consistency loss and keyframes. Returns the model, and the settings to train it with.
    """
    if not model.layers:
        raise ConfigurationError(
            "{option} compares with the same training without video, and a model without layers is just that: "
            "leave it out, or give layers",
            option="control",
        )
    hold_w2(model).flow_cnn = model.gate = None
    model.flow, model.memory = flow_source("zero"), "previous"
    rates = dataclasses.replace(settings.rates, flow_cnn=None, gate=None)
    return model, dataclasses.replace(settings, rates=rates, consistency=Consistency(), keyframes=False)


@contextmanager
def frozen_as_told(
    model: VideoModel, train_base: bool | tuple[str, ...] | None, *, batch_norm: bool = False
) -> Iterator[None]:
    """While it lasts, the parts of the network that are not to be trained require no gradients.

    With ``batch_norm`` the statistics of its batch norms stay as they are.
    """
    modules = dict(model.base.named_modules())
    trained = () if train_base is None or isinstance(train_base, bool) else train_base
    for name in trained:
        if name not in modules or not name:
            raise unknown_name("module of the network to train", name, [known for known in modules if known])
    before = {parameter: parameter.requires_grad for parameter in model.base.parameters()}
    freeze_batch_norm, model.freeze_batch_norm = model.freeze_batch_norm, model.freeze_batch_norm or batch_norm
    if train_base is not None:
        model.base.requires_grad_(train_base is True)
        for name in trained:
            modules[name].requires_grad_(True)
    try:
        yield
    finally:
        model.freeze_batch_norm = freeze_batch_norm
        for parameter, required in before.items():
            parameter.requires_grad_(required)


def parameter_groups(model: VideoModel, settings: TrainSettings) -> list[dict[str, Any]]:
    """What requires gradients, for the optimiser: a group with a ``name`` and its highest rate for each part."""
    rates = dataclasses.asdict(settings.rates)
    found: dict[str, list[nn.Parameter]] = {name: [] for name in rates}
    for name, parameter in model.named_parameters():
        part = name.partition(".")[0]
        if parameter.requires_grad and part in found:
            found[part].append(parameter)
    for name, rate in rates.items():
        if rate is not None and not found[name]:
            raise ConfigurationError(f"rates.{name} is given, but nothing of that part is trained: leave it out")
    groups = [
        {"params": parameters, "name": name, "lr": settings.rate if rates[name] is None else rates[name]}
        for name, parameters in found.items()
        if parameters
    ]
    if not groups:
        raise ConfigurationError("nothing to train: no parameter of the model requires a gradient")
    return groups


def share_of_rate(step: int, steps: int) -> float:
    """Of the highest rate, in a step: rising over the first twentieth, falling along a cosine, never quite 0.

    >>> [round(share_of_rate(step, 100), 2) for step in (0, 4, 50, 99)]
    [0.2, 1.0, 0.5, 0.0]
    """
    return min(1.0, (step + 1) / max(steps // 20, 1)) * (1 + math.cos(math.pi * step / steps)) / 2
