"""One step of a stream as a module of tensors alone: what is exported."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from netwarp.model import VideoModel, VideoState
from netwarp.model.gates import as_gate
from netwarp.model.netwarp import Flows

Flow = Callable[[Tensor, Tensor], Tensor]


class StreamStep(nn.Module):
    """Segments a frame with explicit state, as :meth:`netwarp.VideoModel.step` does, without its checks.

    Args:
        model: The model, in evaluation mode.
        logits: Whether logits are returned too.
        flow: Estimates flow from frames ``[B,3,H,W]`` in 0–1, in the graph; None for flow as an input.

    Attributes:
        names: Of the inputs, in order; a memory for each layer comes last.
        results: Names of the outputs, likewise.
    """

    def __init__(self, model: VideoModel, *, logits: bool = False, flow: Flow | None = None) -> None:
        super().__init__()
        gate = as_gate(model.gate)
        self.both_ways = gate is not None and gate.needs_forward_flow
        self.flow, self.logits = flow, logits
        self.first = _First()
        # A copy, whose weights are the model's own.
        self.model = copy.copy(model)
        self.model._modules = dict(model._modules)
        self.model.netwarps = nn.ModuleList(_AfterFirst(netwarp, self.first) for netwarp in model.netwarps)
        memories = [f"memory_{i}" for i in range(len(model.layers))]
        flows = [] if flow is not None else ["flow", *(["forward_flow"] if self.both_ways else [])]
        self.names = ["frame", *(["previous", *flows, "first", *memories] if memories else [])]
        self.results = ["labels", *(["logits"] if logits else []), *(f"new_{name}" for name in memories)]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Take tensors in the order of ``names``, and return them in that of ``results``.

        ``frame`` and ``previous`` are RGB uint8 ``[1,3,H,W]``, flows ``[1,2,H,W]`` in pixels, ``first`` bool ``[1]``:
        whether the frame is a stream's first. Then what else comes in plays no part.
        """
        given = dict(zip(self.names, inputs, strict=True))
        frame = given["frame"].float() / 255
        state, flows = None, None
        if self.model.layers:
            previous = given["previous"].float() / 255
            state = VideoState(previous, tuple(t for name, t in given.items() if name.startswith("memory_")))
            flows = self._flows(given, frame, previous)
            self.first.value = given["first"]
        logits, after = self.model.advance(frame, state, flows)
        assert logits is not None
        # Values are labels and logits in one: older exporters drop one name of a tensor that has two.
        labels = self.model.labels(logits).to(self.model.task.stored, copy=True)
        return (labels, *((logits,) if self.logits else ()), *after.memory)

    def _flows(self, given: dict[str, Tensor], frame: Tensor, previous: Tensor) -> Flows:
        if self.flow is None:
            return Flows(given["flow"], given.get("forward_flow"))
        return Flows(self.flow(frame, previous), self.flow(previous, frame) if self.both_ways else None)


class _First:
    """Whether the frame that is worked on is a first one, as a tensor; for the NetWarps of a step."""

    value: Tensor


class _AfterFirst(nn.Module):
    """A NetWarp that leaves a first frame's representation alone."""

    def __init__(self, netwarp: nn.Module, first: _First) -> None:
        super().__init__()
        self.netwarp, self.first = netwarp, first

    def forward(self, current: Tensor, previous: Tensor, flow: Tensor, gate: Tensor | None = None) -> Tensor:
        combined: Tensor = self.netwarp(current, previous, flow, gate)
        return torch.where(self.first.value, current, combined)
