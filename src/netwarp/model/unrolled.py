"""From frame to frame: the network unrolled in time, one pass per frame, each combined with what the last one left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netwarp.errors import ConfigurationError, InputError
from netwarp.flow import PrecomputedFlow
from netwarp.model.checkpointing import recomputed
from netwarp.model.flow_cnn import FlowCNN
from netwarp.model.gates import LearnedGate, Trust, resize_trust
from netwarp.model.hooks import StopPass, Taps
from netwarp.model.inputs import check_flow, to_unit_range
from netwarp.model.layers import OUTPUTS, base_dtype
from netwarp.model.options import Gate
from netwarp.model.outputs import logits_of, to_frame_size
from netwarp.model.preprocess import Preprocess
from netwarp.ops import reflect, reflect_flow, resize_flow

if TYPE_CHECKING:
    from netwarp.model.video_model import VideoModel

__all__ = [
    "Flows",
    "Motion",
    "VideoState",
    "advance",
    "flows_between",
    "motion_along",
    "motion_between",
    "run_pass",
    "unroll",
]


@dataclass(frozen=True, eq=False)
class Motion:
    """Flow and gate over all that the network sees, padding included; each layer brings them to its own size.

    Attributes:
        flow: ``[B,2,h,w]``, backward, after FlowCNN, in pixels of its own grid.
        gate: ``[B,1,h',w']`` in 0–1, or None for trust everywhere.
        size: (height, width) of the network's input, which both cover.
    """

    flow: Tensor
    gate: Trust | None
    size: tuple[int, int]

    def beyond(self, margin: int) -> Motion:
        """The same for a layer whose map looks beyond the network's input, where it sees that in a mirror."""
        if margin == 0:
            return self
        flow = reflect_flow(resize_flow(self.flow, self.size), margin)
        gate = None if self.gate is None else reflect(resize_trust(self.gate, self.size), margin)
        return Motion(flow, gate, (self.size[0] + 2 * margin, self.size[1] + 2 * margin))


def motion_between(
    current: Tensor,
    previous: Tensor,
    flow: Tensor,
    forward_flow: Tensor | None = None,
    *,
    flow_cnn: FlowCNN | None,
    gate: Gate | None,
    preprocess: Preprocess,
) -> Motion:
    """Correct a flow, judge it, and lay both over the network's input."""
    present, past = to_unit_range(current), to_unit_range(previous)
    trust: Trust | None = None
    if isinstance(gate, LearnedGate):
        trust = gate(present, past, flow, forward_flow)
    elif gate is not None:
        trust = gate(present, past, flow)
    if flow_cnn is not None and not flow_cnn.sees_input:
        flow = flow_cnn(flow, present, past)
    resized, padded = preprocess.grid((current.shape[-2], current.shape[-1]))
    if padded != resized:
        # The representations cover the padding too, and so must what moves them.
        margin = (0, padded[1] - resized[1], 0, padded[0] - resized[0])
        flow = F.pad(resize_flow(flow, resized), margin, mode="replicate")
        if trust is not None:
            trust = F.pad(resize_trust(trust, resized), margin, mode="replicate")
    if flow_cnn is not None and flow_cnn.sees_input:
        flow = flow_cnn(resize_flow(flow, padded), preprocess(present), preprocess(past))
    return Motion(flow, trust, padded)


def run_pass(
    base: nn.Module,
    taps: Taps,
    layers: Sequence[str],
    frame: Tensor,
    preprocess: Preprocess,
    combine: Callable[[str, Tensor], Tensor],
    *,
    whole: bool = True,
    alike: bool = False,
) -> Tensor | None:
    """Run a network over a frame."""
    seen: list[str] = []

    def visit(name: str, representation: Tensor) -> Tensor:
        combined = combine(name, representation)
        seen.append(name)
        if not whole and len(seen) == len(layers):
            raise StopPass
        return combined

    logits: Tensor | None = None
    with taps.visit(visit):
        logits = logits_of(base(preprocess(to_unit_range(frame)).to(base_dtype(base))))
    for name in layers:
        if name not in seen and name not in OUTPUTS:
            raise ConfigurationError(
                f"layer {name!r} did not run on this frame: a NetWarp needs a layer that runs on every one"
            )
    if logits is None:
        return None
    if "output" in layers:
        logits = combine("output", logits)
    elif "log_probs" in layers:
        dtype = torch.promote_types(torch.float32, logits.dtype)
        if alike:
            logits = combine("log_probs", logits.to(dtype)).to(logits.dtype)
        else:
            current = F.log_softmax(logits, dim=1, dtype=dtype)
            # Adding the change keeps the logits of a fresh model bitwise, where log-probabilities would round anew.
            logits = logits + (combine("log_probs", current) - current).to(logits.dtype)
    if not whole:
        return None
    size = (frame.shape[-2], frame.shape[-1])
    return to_frame_size(logits, *preprocess.grid(size), size)


Flows = tuple[Tensor, Tensor | None]
"""Backward flow between two frames, and the forward one where the gate looks at it; ``[B,2,H,W]`` each."""


@dataclass(frozen=True, eq=False)
class VideoState:
    """All that the next :meth:`VideoModel.step` needs from the past, and nothing else.

    Attributes:
        frame: ``[B,3,H,W]``, the previous frame, uint8 or floating point as it was handed in.
        memory: The previous representation at each layer of the model, in the order of ``model.layers``.
    """

    frame: Tensor
    memory: tuple[Tensor, ...]

    def detached(self) -> VideoState:
        """The same without gradients."""
        return VideoState(self.frame.detach(), tuple(kept.detach() for kept in self.memory))


def flows_between(
    model: VideoModel,
    current: Tensor,
    previous: Tensor,
    flow: Tensor | None = None,
    forward: Tensor | None = None,
    index: int | None = None,
) -> Flows | None:
    """The flows that a model needs between two frames: those that are given, checked, else estimated."""
    if not model.layers:
        return None
    flow = model.estimate_flow(current, previous, index) if flow is None else check_flow(flow, current)
    if not (isinstance(model.gate, LearnedGate) and model.gate.needs_forward_flow):
        return flow, None
    if forward is not None:
        return flow, check_flow(forward, current)
    if isinstance(model.flow, PrecomputedFlow):
        raise ConfigurationError(
            "the gate's term 'forward_backward' needs flow in both directions, and precomputed flow has one: "
            "give forward_flows= to unroll, or leave that term out"
        )
    return flow, model.estimate_flow(previous, current)


def motion_along(model: VideoModel, current: Tensor, previous: Tensor, flows: Flows) -> Motion:
    """What a model makes of the flows between two frames: all of a step that does not need the network."""
    return motion_between(
        current, previous, *flows, flow_cnn=model.flow_cnn, gate=model.gate, preprocess=model.preprocess
    )


def advance(
    model: VideoModel, frame: Tensor, state: VideoState | None, motion: Motion | None, *, whole: bool = True
) -> tuple[Tensor | None, VideoState]:
    """One pass over a frame, combined with the state if there is one."""
    kept: dict[str, Tensor] = {}

    def combine(name: str, current: Tensor) -> Tensor:
        combined = current
        if state is not None and motion is not None:
            combined = _combine(model, name, current, state, motion)
        # A clone, since a network may go on to change its representation in place.
        kept[name] = (current if model.memory == "previous" else combined).clone()
        return combined

    assert model.taps is not None  # else the frame would not have passed the check
    logits = run_pass(
        model.base,
        model.taps,
        model.layers,
        frame,
        model.preprocess,
        combine,
        whole=whole,
        alike=model.training_free and not any(weights.requires_grad for weights in model.netwarps.parameters()),
    )
    return logits, VideoState(frame, tuple(kept[name] for name in model.layers))


def _step(
    model: VideoModel, frame: Tensor, state: VideoState | None, flows: Flows | None, whole: bool
) -> tuple[Tensor | None, VideoState]:
    motion = None if state is None or flows is None else motion_along(model, frame, state.frame, flows)
    return advance(model, frame, state, motion, whole=whole)


def _combine(model: VideoModel, name: str, current: Tensor, state: VideoState, motion: Motion) -> Tensor:
    place = model.layers.index(name)
    previous = state.memory[place]
    if previous.shape != current.shape:
        raise InputError(
            f"layer {name!r} gives {list(current.shape)} now and gave {list(previous.shape)} for the "
            "previous frame: a NetWarp needs a layer whose size depends on the frame's size alone"
        )
    motion = motion.beyond(model.margins[place])
    trust = motion.gate
    if isinstance(model.gate, LearnedGate) and trust is not None:
        trust = model.gate.at_layer(trust, current, previous, motion.flow)
    combined: Tensor = model.netwarps[place](current, previous, motion.flow, trust)
    return combined


def unroll(
    model: VideoModel,
    frames: Sequence[Tensor],
    flows: Sequence[Tensor | None],
    forward_flows: Sequence[Tensor | None],
    *,
    checkpoint: bool = False,
    every: bool = False,
    detach: bool = False,
) -> list[Tensor]:
    """Frame after frame, with gradients through time; see :meth:`VideoModel.unroll`."""
    results: list[Tensor] = []
    state: VideoState | None = None
    last = len(frames) - 1
    for index in range(0 if every else _first_needed(model, last), len(frames)):
        frame, wanted = frames[index], every or index == last
        between = None
        if state is not None:
            between = flows_between(model, frame, state.frame, flows[index - 1], forward_flows[index - 1])
        step = partial(_step, model, state=state, flows=between, whole=wanted)
        with torch.set_grad_enabled(torch.is_grad_enabled() and (wanted or not detach)):
            # The last frame is first in the backward pass: to compute it again there would save nothing.
            logits, state = recomputed(step, frame, model.base) if checkpoint and index < last else step(frame)
        if detach:
            state = state.detached()
        if logits is not None:
            results.append(logits)
    return results


def _first_needed(model: VideoModel, last: int) -> int:
    """The first frame that the last one's logits depend on."""
    if not model.layers:
        return last
    return max(last - 1, 0) if model.memory == "previous" and len(model.layers) == 1 else 0
