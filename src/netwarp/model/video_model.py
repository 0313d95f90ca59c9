"""VideoModel: any segmentation network as an online video network (paper, section 3), built, saved and removed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import Any, Self

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from netwarp.errors import ConfigurationError, unknown_name
from netwarp.flow import FlowEstimator, flow_source, spec_of
from netwarp.model.flow_cnn import FlowCNN
from netwarp.model.gate_names import gate_to_dict, make_gate
from netwarp.model.gates import Gate, GateFunction, LearnedGate, PhotometricGate
from netwarp.model.inputs import Preprocess, as_preprocess, base_device, preprocess_of
from netwarp.model.label_names import labels_of
from netwarp.model.layers import OUTPUTS, place
from netwarp.model.model_file import FORMAT, write_model
from netwarp.model.netwarp import NetWarp
from netwarp.model.on_hub import HubMethods
from netwarp.model.outputs import Hooks, margin_of, output_grid
from netwarp.model.running import set_mode
from netwarp.model.task import Task, check_task
from netwarp.model.unrolled import Memory, UnrolledNetwork
from netwarp.ops.warp import Interpolation, check_interpolation


def rest_frozen(network: nn.Module, *, is_part: bool = False) -> None:
    """Put a network of which nothing is trained, or such parts of it, into evaluation mode."""
    trained = [parameter.requires_grad for parameter in network.parameters()]
    if any(trained):
        for part in network.children():
            rest_frozen(part, is_part=True)
    elif trained or not is_part:  # parts without parameters, such as dropout, belong to what is trained
        set_mode(network, False)


TRAINING_FREE_START = (0.2, 0.8)
TRAINING_FREE_GATE = PhotometricGate()
"""Weights and gate of the mode without training: chosen on rendered video (docs/training_free.md)."""


class VideoModel(UnrolledNetwork, HubMethods):
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
        gate: Confidence in the warped representation per pixel: a :class:`PhotometricGate`, a :class:`LearnedGate` or a
            name of one (:func:`netwarp.model.gate_names.make_gate`), or None for the paper's equation.
        interpolation: How NetWarps sample a representation: ``"bilinear"`` (the paper), or ``"bicubic"``, which blurs
            less where memory is warped again and again.
        training_free: The mode that needs no training and no labels: ``"log_probs"`` unless ``layers`` says otherwise,
            fixed weights, photometric gate, fused memory, no FlowCNN (docs/training_free.md).
        task: What the network's output is: ``"classes"``, ``"binary"`` (one logit: an object against the rest),
            ``"multilabel"`` (independent logits) or ``"regression"`` (depth and other values). By default
            ``base.task``, else what the output shows (:func:`netwarp.model.task.task_of`).
        preprocess: What the network wants done to a frame, or an image processor of transformers; by default
            ``base.preprocess``, else ImageNet's mean and standard deviation. Where a divisor of 1 does not do, the
            network is tried for the one that does.
        classes: Class names; by default ``base.classes``.
        palette: RGB colours (0–255) of the classes; by default ``base.palette``.
        example_size: (height, width) of a frame that the network takes, for finding out what its layers return;
            needed only by networks that refuse the sizes in :data:`netwarp.model.layers.SIZES`.

    Attributes:
        base: The network.
        layers: The layers in the order in which they run.
        grids: Where the places of each map look in the network's input (:class:`netwarp.ops.Grid`); None where
            that changes with the size, as with a decoder's maps, whose cells share the input.
        margins: How far the map of each looks beyond the network's input (``base.margins``), in pixels.
        netwarps: A :class:`NetWarp` for each.
        flow_cnn: The :class:`FlowCNN`, or None.
        gate: The gate, or None; a learned one has parameters ``gate.…``.
        hooks: The hooks on the network, or None once they are removed.
        freeze_batch_norm: Whether :meth:`train` leaves the network's batch norms in evaluation mode; False at first.

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
        interpolation: Interpolation = "bilinear",
        training_free: bool = False,
        task: str | Task | None = None,
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
        source = flow_source(flow)
        layers = _checked_layers(layers, training_free)
        flow_cnn = _checked_flow_cnn(flow_cnn, training_free)
        gate = _checked_gate(gate, training_free)
        memory = _checked_memory(memory, training_free)
        start = _checked_start(start, training_free)
        check_interpolation(interpolation)
        preprocess = preprocess_of(base) if preprocess is None else as_preprocess(preprocess)
        if task is not None and not isinstance(task, Task):
            check_task(task)
        places, seen = place(base, layers, preprocess, example_size)
        output, preprocess = seen.output, seen.preprocess
        task = task if isinstance(task, Task) else seen.task(base, task)
        if task.outputs != output.channels:
            raise ConfigurationError(
                f"the base has {output.channels} outputs, not the task's {task.outputs}: build so many ({{option}})",
                option="classes",
            )
        labels = labels_of(base, task, classes, palette)

        self.layers = tuple(info.name for info in places)
        self.grids = tuple(info.grid for info in places)
        self.answer_grid = output.grid
        self.margins = tuple(margin_of(base, name) for name in self.layers)
        self.base = base
        self.netwarps = nn.ModuleList(NetWarp(info.channels, start, interpolation) for info in places)
        self.flow_cnn = flow_cnn if self.layers else None
        if self.flow_cnn is not None:
            finest = min(places, key=lambda info: min(info.stride))
            in_frame = preprocess.size is None or self.flow_cnn.sees_input
            self.flow_cnn.take_grid(min(finest.stride), finest.grid if in_frame else None)
        # What has parameters needs a layer to work for.
        self.gate = gate if self.layers or not isinstance(gate, nn.Module) else None
        if training_free:
            self.netwarps.requires_grad_(False)
        self.flow = source
        self.memory: Memory = memory
        self.interpolation: Interpolation = interpolation
        self.training_free = training_free
        self.preprocess = preprocess
        self.task = task
        self.freeze_batch_norm = False
        self.example_size = example_size
        self.classes = labels.names
        self.palette = labels.palette
        self.training = getattr(base, "training", False)  # which a frozen network does not say
        for own in (self.netwarps, self.flow_cnn, self.gate):
            if isinstance(own, nn.Module):
                own.to(base_device(base)).train(self.training)
        self.hooks = Hooks(base, [name for name in self.layers if name not in OUTPUTS])

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation mode, but leave what is frozen in evaluation mode.

        A base without a parameter that requires a gradient, and every such part of a base, stays in evaluation mode,
        batch norm and dropout included. Freeze first, then call this. With ``freeze_batch_norm`` batch norms stay in it
        too: their scale and shift learn, but each works with its running mean and variance, and keeps them.
        """
        self.training = mode
        for part in self.children():
            set_mode(part, mode)
        if mode:
            rest_frozen(self.base)
        if mode and self.freeze_batch_norm:
            for module in self.base.modules():
                if isinstance(module, _BatchNorm) and module.running_mean is not None:
                    module.eval()
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
        """Return the network frame by frame: a model without layers, with its preprocessing, classes and colours."""
        return VideoModel(
            self.base,
            [],
            self.flow,
            task=self.task,
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
        """Describe how to build the model again, but for its tensors, in plain values that JSON can hold.

        Raises:
            ConfigurationError: the flow or gate cannot be named in a file.
        """
        flow = spec_of(self.flow)
        if flow is None:
            raise ConfigurationError(
                f"a model with the flow {type(self.flow).__name__} cannot be saved: give the flow a text 'spec'"
            )
        flow_cnn = self.flow_cnn
        # A foreign network may have an attribute of this name that means something else.
        describe = getattr(getattr(self.base, "source", None), "to_dict", None)
        gate, grid = gate_to_dict(self.gate), output_grid(self.base)
        of_gate = 2 if gate is not None and "learned" in gate else 1
        usual = self.task == Task(self.task.outputs)
        return {
            # The oldest that says it all, so that older versions read what they can.
            "format": FORMAT if not usual else of_gate if self.interpolation == "bilinear" else 3,
            **({} if usual else {"task": self.task.to_dict()}),
            "layers": list(self.layers),
            "grids": [grid and [list(grid.stride), list(grid.offset)] for grid in self.grids],
            "flow": flow,
            "flow_cnn": None
            if flow_cnn is None
            else {
                "variant": flow_cnn.variant,
                "stride": flow_cnn.stride,
                "start": flow_cnn.start,
                **({} if flow_cnn.offset is None else {"offset": list(flow_cnn.offset)}),
            },
            "memory": self.memory,
            "gate": gate,
            **({} if self.interpolation == "bilinear" else {"interpolation": self.interpolation}),
            "training_free": self.training_free,
            "preprocess": self.preprocess.to_dict(),
            "classes": list(self.classes),
            "palette": [list(colour) for colour in self.palette],
            "example_size": None if self.example_size is None else list(self.example_size),
            "base": describe() if callable(describe) else None,
            **({} if grid is None else {"output_grid": [grid.stride, grid.offset]}),
        }

    def extra_repr(self) -> str:
        gate = "learned" if isinstance(self.gate, nn.Module) else self.gate
        return f"layers={list(self.layers)}, memory={self.memory!r}, gate={gate}"


def _checked_layers(layers: Sequence[str] | None, training_free: bool) -> Sequence[str]:
    if layers is None and not training_free:
        raise ConfigurationError(
            "no layers given: name those that get a NetWarp ('netwarp layers' lists them), or use training_free=True"
        )
    return ["log_probs"] if layers is None else layers


def _checked_flow_cnn(flow_cnn: str | FlowCNN | None, training_free: bool) -> FlowCNN | None:
    if flow_cnn is not None and not isinstance(flow_cnn, (str, FlowCNN)):
        raise ConfigurationError(f"flow_cnn must be 'paper', 'release', a FlowCNN or None, not {flow_cnn!r}")
    if training_free and isinstance(flow_cnn, FlowCNN):
        raise ConfigurationError("training_free=True uses no FlowCNN: an untrained one only harms the flow")
    if training_free:
        return None
    return FlowCNN(flow_cnn, stride=None) if isinstance(flow_cnn, str) else flow_cnn


def _checked_gate(gate: str | Gate | GateFunction | None, training_free: bool) -> Gate | GateFunction | None:
    gate = make_gate(gate) if isinstance(gate, str) else gate
    if gate is not None and not callable(gate):
        raise ConfigurationError(f"gate must be a name, a PhotometricGate, a LearnedGate or None, not {gate!r}")
    if training_free and isinstance(gate, LearnedGate):
        raise ConfigurationError("training_free=True learns no gate: give a PhotometricGate, or none")
    return TRAINING_FREE_GATE if training_free and gate is None else gate


def _checked_memory(memory: Memory | None, training_free: bool) -> Memory:
    if memory is None:
        return "fused" if training_free else "previous"
    if memory not in ("previous", "fused"):
        raise unknown_name("memory", memory, ("previous", "fused"))
    return memory


def _checked_start(start: tuple[float, float] | None, training_free: bool) -> tuple[float, float]:
    if start is None:
        return TRAINING_FREE_START if training_free else (1.0, 0.0)
    numbers = isinstance(start, (tuple, list)) and all(isinstance(w, Real) and math.isfinite(w) for w in start)
    if not numbers or len(start) != 2:
        raise ConfigurationError(f"start must be the initial (w1, w2), not {start!r}")
    return start
