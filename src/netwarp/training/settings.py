"""What a training is told: plain values, checked on their own, read without torch."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal

from netwarp.datasets.augment_settings import Augmentation
from netwarp.errors import ConfigurationError, shown, unknown_name

HOW = ("checkpoint_every", "tensorboard", "accelerator", "workers")
"""Settings that say how a training is run, not what comes out: they may change when it is gone on with."""

_RANGES = {
    "steps": (1, 10**8),
    "batch_size": (1, 100_000),
    "accumulate": (1, 100_000),
    "seed": (0, 2**63 - 1),
    "validate_every": (1, 10**8),
    "patience": (1, 10**8),
    "checkpoint_every": (1, 10**8),
    "devices": (1, 1024),
    "workers": (0, 256),
}


@dataclass(frozen=True)
class Rates:
    """Highest learning rates of parts of the model; null takes ``rate``.

    Attributes:
        base: Of the network; null takes the rate of all.
        netwarps: Of w1 and w2, likewise.
        flow_cnn: Of the FlowCNN, likewise.
        gate: Of the learned gate, likewise.
    """

    base: float | None = None
    netwarps: float | None = None
    flow_cnn: float | None = None
    gate: float | None = None

    def __post_init__(self) -> None:
        for name, rate in dataclasses.asdict(self).items():
            _check_positive(f"rates.{name}", rate)


@dataclass(frozen=True)
class Consistency:
    """Agreement of neighbouring frames, beyond the paper: labels are to move with the flow where it is reliable.

    Attributes:
        weight: Of this loss beside the labels'; 0 for none.
        unlabelled: Clips without labels that each batch gets in addition, for this loss alone.
    """

    weight: float = 0.0
    unlabelled: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ConfigurationError(f"consistency.weight must be at least 0, not {self.weight:g}")
        _check_whole("consistency.unlabelled", self.unlabelled, 0, 10_000)
        if self.unlabelled and not self.weight:
            raise ConfigurationError(
                "consistency.unlabelled needs a consistency.weight above 0: they are for that loss"
            )


@dataclass(frozen=True)
class TrainSettings:
    """How a model is trained: Adam, a rate that rises over a twentieth of the steps and falls to 0 along a cosine.

    Attributes:
        steps: Steps of the optimiser.
        batch_size: Labelled clips in a batch, on each device.
        accumulate: Batches whose gradients are summed for a step: memory of one, gradient of all.
        rate: Highest learning rate.
        rates: The same for parts of the model.
        train_base: true trains the network too, false freezes it (batch norm included), a list names the modules that
            are trained while the rest is frozen; null leaves what requires gradients as it is.
        freeze_batch_norm: Batch norms of the network keep their running mean and variance and work with them, as in the
            paper's release; their scale and shift are trained.
        class_weights: Of the classes in the loss: none; inverse_log, 1 / ln(constant + frequency); or a list.
        class_weight_constant: That constant: 1.05 lets rare classes count up to 20 times, 1.10 (ESPNet's) 10 times.
        augment: Random views of the clips.
        detach_past: No gradients into the past frames: cheaper, but not the paper's.
        keyframes: Of a longer clip run the network on its last frame and a random one before it alone, along the flow
            of all frames between, to learn from old memory. Clips of 5 frames give gaps of 1 to 4.
        recompute: Activation checkpointing: long clips in the memory of one frame, for a third more time.
        consistency: A loss on how neighbouring frames agree.
        clip_gradient: Longest gradient (norm over all that is trained); null for any.
        precision: 32, or bf16 for mixed precision.
        seed: Of the order, the views, and all that the network itself draws.
        validate_every: Steps between validations; null for one at the end.
        monitor: What early stopping goes by: iou, tiou (2 pixels) or tc.
        patience: Validations in a row without a better score until it stops; the best weights are kept then.
        checkpoint_every: Steps between checkpoints.
        tensorboard: Write TensorBoard's event files beside the CSV log.
        accelerator: auto takes GPUs where there are any.
        devices: How many; more than one is data-parallel (DDP), each with batches of its own.
        workers: Processes that read and augment beside each training process.

    Raises:
        ConfigurationError: A value makes no sense.
    """

    steps: int = 1000
    batch_size: int = 8
    accumulate: int = 1
    rate: float = 1e-3
    rates: Rates = field(default_factory=Rates)
    train_base: bool | tuple[str, ...] | None = None
    freeze_batch_norm: bool = False
    class_weights: Literal["none", "inverse_log"] | tuple[float, ...] = "none"
    class_weight_constant: float = 1.10
    augment: Augmentation = field(default_factory=Augmentation)
    detach_past: bool = False
    keyframes: bool = False
    recompute: bool = False
    consistency: Consistency = field(default_factory=Consistency)
    clip_gradient: float | None = None
    precision: Literal[32, "bf16"] = 32
    seed: int = 0
    validate_every: int | None = None
    monitor: Literal["iou", "tiou", "tc"] = "iou"
    patience: int | None = None
    checkpoint_every: int = 100
    tensorboard: bool = False
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = 1
    workers: int = 0

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            _check_whole(name, getattr(self, name), least, most)
        for name in ("rate", "clip_gradient"):
            _check_positive(name, getattr(self, name))
        _check_choice("precision", self.precision, (32, "bf16"))
        _check_choice("monitor", self.monitor, ("iou", "tiou", "tc"))
        _check_choice("accelerator", self.accelerator, ("auto", "cpu", "gpu"))
        if isinstance(self.class_weights, str):
            _check_choice("class_weights", self.class_weights, ("none", "inverse_log"))
        elif not all(0 <= weight < math.inf for weight in self.class_weights) or not any(self.class_weights):
            raise ConfigurationError("class_weights must be numbers of at least 0, not all of them 0")
        if self.keyframes and self.consistency.weight:
            raise ConfigurationError("keyframes leave frames out that consistency compares: give one of them")
        if self.patience is not None and self.validate_every is None:
            raise ConfigurationError("patience counts validations: say validate_every, the steps between them")
        if not 1 < self.class_weight_constant < math.inf:
            raise ConfigurationError(f"class_weight_constant must be above 1, not {self.class_weight_constant:g}")

    def deciding(self) -> dict[str, Any]:
        """All that what comes out depends on, as plain values; what is new only where it is used."""
        unused = (name for name in ("freeze_batch_norm", "keyframes") if not getattr(self, name))
        without = (*HOW, *unused)
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in without}


def _check_whole(name: str, value: int | None, least: int, most: int) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most):
        raise ConfigurationError(f"{name} must be a whole number of {least} to {most}, not {shown(value)}")


def _check_positive(name: str, value: float | None) -> None:
    if value is not None and not 0 < value < math.inf:
        raise ConfigurationError(f"{name} must be above 0, not {value:g}")


def _check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        raise unknown_name(name, str(value), map(str, choices))
