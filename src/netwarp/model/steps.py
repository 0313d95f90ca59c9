"""From frame to frame: the network unrolled in time, one pass per frame, each combined with what the last one left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netwarp.errors import ConfigurationError, InputError
from netwarp.flow import PrecomputedFlow
from netwarp.model.frames import check_flow
from netwarp.model.learned_gate import LearnedGate
from netwarp.model.motion import Motion, motion_between
from netwarp.model.passes import run_pass
from netwarp.model.recompute import recomputed

if TYPE_CHECKING:
    from netwarp.model.video import VideoModel

__all__ = ["Flows", "VideoState", "advance", "flows_between", "motion_along", "unroll"]

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
    """The flows that a model needs between two frames: those that are given, checked, else estimated.

    Args:
        model: The model.
        current: ``[B,3,H,W]``.
        previous: Likewise.
        flow: ``[B,2,H,W]``, backward, if known.
        forward: Likewise from the previous to the current frame.
        index: Number of the current frame in its video, for estimators that look flow up.

    Returns:
        The flows; None where the model has no layers, and needs none.

    Raises:
        InputError: a flow does not fit the frames, or holds NaN.
        ConfigurationError: the gate needs forward flow, and there is none to be had.
    """
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
    """What a model makes of the flows between two frames: all of a step that does not need the network.

    Args:
        model: The model.
        current: ``[B,3,H,W]``.
        previous: Likewise.
        flows: :func:`flows_between` the two.

    Returns:
        The motion, for :func:`advance`.
    """
    return motion_between(
        current, previous, *flows, flow_cnn=model.flow_cnn, gate=model.gate, preprocess=model.preprocess
    )


def advance(
    model: VideoModel, frame: Tensor, state: VideoState | None, motion: Motion | None, *, whole: bool = True
) -> tuple[Tensor | None, VideoState]:
    """One pass over a frame, combined with the state if there is one.

    Args:
        model: The model.
        frame: ``[B,3,H,W]``, checked.
        state: What the frame before left, or None for a first frame.
        motion: :func:`motion_along` the flows between the two; None without a state, or without layers.
        whole: Whether the logits are wanted; else the pass ends at the last NetWarp.

    Returns:
        Logits ``[B,classes,H,W]``, if wanted, and what this frame leaves, with gradients.
    """
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
    """Frame after frame, with gradients through time; see :meth:`VideoModel.unroll`.

    Args:
        model: The model.
        frames: ``[B,3,H,W]`` each, oldest first, checked.
        flows: ``flows[i]`` leads from frame i+1 to frame i; None to estimate it.
        forward_flows: Likewise from frame i to frame i+1.
        checkpoint: Compute all but the last frame again in the backward pass.
        every: Whether the logits of all frames are wanted.
        detach: Give the past no gradient.

    Returns:
        Logits ``[B,classes,H,W]`` of every frame, or of the last alone.
    """
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
