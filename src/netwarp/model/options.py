"""What a video model is asked to be: its options checked, and what was left out filled in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Literal

from netwarp.errors import ConfigurationError, unknown_name
from netwarp.flow import FlowEstimator, FlowSource, flow_source
from netwarp.model.flow_cnn import FlowCNN
from netwarp.model.gates import Gate, GateFunction, LearnedGate, PhotometricGate, make_gate

__all__ = ["TRAINING_FREE_GATE", "TRAINING_FREE_START", "Memory", "Options"]

TRAINING_FREE_START = (0.2, 0.8)
TRAINING_FREE_GATE = PhotometricGate()
"""Weights and gate of the mode without training: chosen on rendered video (docs/training_free.md)."""

Memory = Literal["previous", "fused"]


@dataclass(frozen=True)
class Options:
    """Options of a :class:`netwarp.model.VideoModel`, which says what they mean.

    Attributes:
        layers: Names, not yet looked up in a network.
        flow: The estimator.
        flow_cnn: The FlowCNN, or None.
        memory: What is kept of a frame.
        start: Initial w1 and w2.
        gate: The gate, or None.
    """

    layers: Sequence[str]
    flow: FlowSource
    flow_cnn: FlowCNN | None
    memory: Memory
    start: tuple[float, float]
    gate: Gate | GateFunction | None

    @classmethod
    def of(
        cls,
        layers: Sequence[str] | None,
        flow: str | FlowEstimator,
        flow_cnn: str | FlowCNN | None,
        *,
        memory: Memory | None,
        start: tuple[float, float] | None,
        gate: str | Gate | GateFunction | None,
        training_free: bool,
    ) -> Options:
        """Check them, and fill in what was left out."""
        if layers is None:
            if not training_free:
                raise ConfigurationError(
                    "no layers given: name those that get a NetWarp ('netwarp layers' lists them), "
                    "or use training_free=True"
                )
            layers = ["log_probs"]
        if flow_cnn is not None and not isinstance(flow_cnn, (str, FlowCNN)):
            raise ConfigurationError(f"flow_cnn must be 'paper', 'release', a FlowCNN or None, not {flow_cnn!r}")
        gate = make_gate(gate) if isinstance(gate, str) else gate
        if gate is not None and not callable(gate):
            raise ConfigurationError(f"gate must be a name, a PhotometricGate, a LearnedGate or None, not {gate!r}")
        if training_free:
            if isinstance(flow_cnn, FlowCNN):
                raise ConfigurationError("training_free=True uses no FlowCNN: an untrained one only harms the flow")
            if isinstance(gate, LearnedGate):
                raise ConfigurationError("training_free=True learns no gate: give a PhotometricGate, or none")
            flow_cnn, gate = None, gate or TRAINING_FREE_GATE
        if memory is None:
            memory = "fused" if training_free else "previous"
        if memory not in ("previous", "fused"):
            raise unknown_name("memory", memory, ("previous", "fused"))
        if start is None:
            start = TRAINING_FREE_START if training_free else (1.0, 0.0)
        if not isinstance(start, (tuple, list)) or len(start) != 2 or not all(_is_weight(value) for value in start):
            raise ConfigurationError(f"start must be the initial (w1, w2), not {start!r}")
        if isinstance(flow_cnn, str):
            flow_cnn = FlowCNN(flow_cnn, stride=None)
        return cls(layers, flow_source(flow), flow_cnn, memory, start, gate)


def _is_weight(value: object) -> bool:
    return isinstance(value, Real) and math.isfinite(value)
