"""VideoModel: any segmentation network, as an online video network (paper, section 3)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, Self

from torch import nn

from netwarp.errors import ConfigurationError, unknown_name
from netwarp.flow import FlowEstimator, FlowSource, flow_source, spec_of
from netwarp.model.base_metadata import label_set_of, margin_of, preprocess_of
from netwarp.model.flow_cnn import FlowCNN
from netwarp.model.gates import Gate, GateFunction, LearnedGate, PhotometricGate, gate_to_dict, make_gate
from netwarp.model.inputs import Preprocess, base_device
from netwarp.model.layers import OUTPUTS, place
from netwarp.model.model_file import FORMAT, write_model
from netwarp.model.netwarp import NetWarp
from netwarp.model.outputs import Hooks
from netwarp.model.unrolled import Memory, UnrolledNetwork, VideoState

__all__ = ["VideoModel", "VideoState", "rest_frozen"]


def rest_frozen(network: nn.Module) -> None:
    """Put what is frozen of a network into evaluation mode: parts that have parameters, none of them to be trained.

    Args:
        network: As a whole it is also frozen where it has no parameters at all.
    """
    if any(parameter.requires_grad for parameter in network.parameters()):
        _rest_parts(network)
    else:
        network.eval()


def _rest_parts(module: nn.Module) -> None:
    for part in module.children():
        trained = [parameter.requires_grad for parameter in part.parameters()]
        if any(trained):
            _rest_parts(part)
        elif trained:
            part.eval()


TRAINING_FREE_START = (0.2, 0.8)
TRAINING_FREE_GATE = PhotometricGate()
"""Weights and gate of the mode without training: chosen on rendered video (docs/training_free.md)."""


class VideoModel(UnrolledNetwork):
    """A segmentation network with NetWarps in it.

    Optical flow aligns the previous frame's representation at some layers with the current frame's, FlowCNN corrects
    the flow, and a learned weight per channel sums the two. The network itself stays as it is: hooks tap its layers,
    ``base.state_dict()`` keys never change, and :meth:`remove` leaves no trace. A fresh model gives bitwise the
    network's own output. One FlowCNN serves all layers (paper, section 3.1).

    Args:
        base: The network. Its forward takes what ``preprocess`` makes of a frame and returns logits: a tensor, a dict
            with ``"out"``, or an object with ``.logits``.
        layers: Where the NetWarps go: names out of ``base.named_modules()``, or ``"output"`` (the logits, at the
            network's own output size), or ``"log_probs"`` (the same as log-probabilities, which sum better over time;
            the result are logits again, equal to the log-probabilities but for a constant per pixel). ``[]`` is the
            network frame by frame.
        flow: An estimator, or its name (:func:`netwarp.flow.make_flow`), or ``"true"``: the flow that rendered clips
            come with, which evaluation and training read with the frames.
        flow_cnn: ``"paper"`` or ``"release"``, at the stride of the finest of the layers and at the release's, a
            :class:`FlowCNN` such as ``FlowCNN()``, the paper's at full size, or None to use the flow as it is.
        memory: ``"previous"`` keeps the previous frame's own representation (the paper); ``"fused"`` keeps the combined
            one, so that the past reaches further than a frame.
        start: Initial w1 and w2 of every NetWarp.
        gate: Trust in the warped representation per pixel: a :class:`PhotometricGate`, a :class:`LearnedGate` or a
            name of one (:func:`netwarp.model.gates.make_gate`), or None for the paper's equation.
        training_free: The mode that needs no training and no labels: ``"log_probs"`` unless ``layers`` says otherwise,
            fixed weights, photometric gate, fused memory, no FlowCNN (docs/training_free.md).
        preprocess: What the network wants done to a frame; by default ``base.preprocess``, else ImageNet's mean and
            standard deviation.
        classes: Class names; by default ``base.classes``.
        palette: RGB colours (0–255) of the classes; by default ``base.palette``.
        example_size: (height, width) of a frame that the network takes, for finding out what its layers return;
            needed only by networks that refuse the sizes in :data:`netwarp.model.layers.SIZES`.

    Attributes:
        base: The network.
        layers: The layers in the order in which they run.
        margins: How far the map of each looks beyond the network's input (``base.margins``), in pixels.
        netwarps: A :class:`NetWarp` for each.
        flow_cnn: The :class:`FlowCNN`, or None.
        gate: The gate, or None; a learned one has parameters ``gate.…``.
        hooks: The hooks on the network, or None once they are removed.

    Raises:
        ConfigurationError: a layer is unknown or cannot hold a NetWarp, or options contradict each other. The network
            was not changed.
    """

    def __init__(
        self,
        base: nn.Module,
        layers: Sequence[str] | None = None,
        flow: str | FlowEstimator = "dis",
        flow_cnn: str | FlowCNN | None = "paper",
        *,
        memory: Memory | None = None,
        start: tuple[float, float] | None = None,
        gate: str | Gate | GateFunction | None = None,
        training_free: bool = False,
        preprocess: Preprocess | None = None,
        classes: Sequence[str] | None = None,
        palette: Sequence[tuple[int, int, int]] | None = None,
        example_size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(base, nn.Module) or isinstance(base, VideoModel):
            raise ConfigurationError(
                f"the base must be a segmentation network (torch.nn.Module), not {type(base).__name__}: "
                "netwarp.load_base(NAME, weights=…) loads one"
            )
        asked = _Options.of(layers, flow, flow_cnn, memory=memory, start=start, gate=gate, training_free=training_free)
        preprocess = preprocess_of(base) if preprocess is None else preprocess
        placement = place(base, asked.layers, preprocess, example_size)
        labels = label_set_of(base, placement.classes, classes, palette)

        self.layers = placement.layers
        self.margins = tuple(margin_of(base, name) for name in placement.layers)
        self.base = base
        self.netwarps = nn.ModuleList(NetWarp(c, asked.start) for c in placement.channels)
        self.flow_cnn = asked.flow_cnn if self.layers else None
        if self.flow_cnn is not None and self.flow_cnn.stride is None:
            self.flow_cnn.stride = min(placement.strides)
        # What has parameters needs a layer to work for.
        self.gate = asked.gate if self.layers or not isinstance(asked.gate, nn.Module) else None
        if training_free:
            self.netwarps.requires_grad_(False)
        self.flow = asked.flow
        self.memory: Memory = asked.memory
        self.training_free = training_free
        self.preprocess = preprocess
        self.example_size = example_size
        self.classes = labels.names
        self.palette = labels.palette
        self.training = base.training
        for own in (self.netwarps, self.flow_cnn, self.gate):
            if isinstance(own, nn.Module):
                own.to(base_device(base)).train(base.training)
        self.hooks = Hooks(base, [name for name in self.layers if name not in OUTPUTS])

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation mode, as ever, but leave what is frozen in evaluation mode.

        A base of which no parameter requires a gradient, and any part of a base of which none of its own does, stays
        in evaluation mode, batch norm and dropout included. Freeze first, then call this.
        """
        super().train(mode)
        if mode:
            rest_frozen(self.base)
        return self

    def remove(self) -> nn.Module:
        """Take the NetWarps out. The model is of no use afterwards.

        Returns:
            The network, exactly as it was (but for what training changed in its own weights).
        """
        if self.hooks is not None:
            self.hooks.remove()
            self.hooks = None
        return self.base

    def without_memory(self) -> VideoModel:
        """The same network frame by frame, with the same preprocessing, classes and colours.

        Both models share the network, and each is of use as long as the other is.

        Returns:
            A model without layers.
        """
        return VideoModel(
            self.base,
            [],
            preprocess=self.preprocess,
            classes=self.classes,
            palette=self.palette,
            example_size=self.example_size,
        )

    def save(self, path: str | Path, *, include_base: bool = True) -> None:
        """Write the model as one safetensors file, which :func:`netwarp.load` reads.

        Args:
            path: The file; it appears whole or not at all.
            include_base: Whether the network's weights go into it.

        Raises:
            WeightsError: the model holds NaN or infinite values.
            ConfigurationError: the flow or gate cannot be named in a file.
            OutputError: the file cannot be written.
        """
        tensors = {k: v for k, v in self.state_dict().items() if include_base or not k.startswith("base.")}
        write_model(path, self.configuration(), tensors)

    def configuration(self) -> dict[str, Any]:
        """How to build the model again, but for its tensors: plain values that JSON can hold.

        Raises:
            ConfigurationError: the flow or gate cannot be named in a file.
        """
        flow = spec_of(self.flow)
        if flow is None:
            raise ConfigurationError(
                f"a model with the flow {type(self.flow).__name__} cannot be saved: give the flow a text 'spec'"
            )
        flow_cnn = self.flow_cnn
        # A network of the user's own may have an attribute of this name that means something else.
        describe = getattr(getattr(self.base, "source", None), "to_dict", None)
        gate = gate_to_dict(self.gate)
        return {
            # The oldest that says it all, so that older versions read what they can.
            "format": FORMAT if gate is not None and "learned" in gate else 1,
            "layers": list(self.layers),
            "flow": flow,
            "flow_cnn": None
            if flow_cnn is None
            else {"variant": flow_cnn.variant, "stride": flow_cnn.stride, "start": flow_cnn.start},
            "memory": self.memory,
            "gate": gate,
            "training_free": self.training_free,
            "preprocess": self.preprocess.to_dict(),
            "classes": list(self.classes),
            "palette": [list(colour) for colour in self.palette],
            "example_size": None if self.example_size is None else list(self.example_size),
            "base": describe() if callable(describe) else None,
        }

    def extra_repr(self) -> str:  # noqa: D102
        gate = "learned" if isinstance(self.gate, nn.Module) else self.gate
        return f"layers={list(self.layers)}, memory={self.memory!r}, gate={gate}"


@dataclass(frozen=True)
class _Options:
    """A model's options, checked and complete."""

    layers: Sequence[str]  # not yet looked up in the network
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
    ) -> _Options:
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
