"""NetWarp: motion between two frames, and the previous frame's representation brought along it (paper, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netwarp.errors import ConfigurationError
from netwarp.model.flow_cnn import FlowCNN
from netwarp.model.gates import Confidence, Gate, resize_confidence
from netwarp.model.inputs import Preprocess, to_unit_range
from netwarp.ops import reflect, reflect_flow, resize_flow, warp_combine


class NetWarp(nn.Module):
    """Combination of representations, z̃_t = w1 ⊙ z_t + w2 ⊙ Warp(z_{t−1}, F) (paper, Eq. 1–3).

    A fresh one passes the current representation on unchanged: w1 = 1, w2 = 0.

    Args:
        channels: Number of channels of the representation.
        start: Initial value of all w1 and of all w2.

    Attributes:
        w1: ``[channels]``, weights of the current frame's representation.
        w2: ``[channels]``, weights of the previous frame's, warped.

    Raises:
        ConfigurationError: ``channels`` is below 1.
    """

    def __init__(self, channels: int, start: tuple[float, float] = (1.0, 0.0)) -> None:
        super().__init__()
        if channels < 1:
            raise ConfigurationError(f"a NetWarp needs at least 1 channel, not {channels}")
        self.w1 = nn.Parameter(torch.full((channels,), float(start[0])))
        self.w2 = nn.Parameter(torch.full((channels,), float(start[1])))

    @property
    def channels(self) -> int:
        """Number of channels of the representation."""
        return self.w1.numel()

    def forward(self, current: Tensor, previous: Tensor, flow: Tensor, gate: Tensor | None = None) -> Tensor:
        """Combine two frames' representations.

        Args:
            current: ``[B,C,h,w]``, z_t.
            previous: ``[B,C,h,w]``, z_{t−1}.
            flow: ``[B,2,H,W]``, backward, on any grid over the same picture; it is brought to h×w here.
            gate: ``[B,1,H,W]`` in 0–1, how far the warped representation can be trusted, or None for everywhere.

        Returns:
            ``[B,C,h,w]``, z̃_t, like ``current``.
        """
        size = (current.shape[-2], current.shape[-1])
        if gate is not None:
            gate = resize_confidence(gate, size)
        return warp_combine(current, previous, resize_flow(flow, size), self.w1, self.w2, gate)

    def extra_repr(self) -> str:  # noqa: D102
        return f"channels={self.channels}"


class Flows(NamedTuple):
    """Checked flow between two frames, ``[B,2,H,W]``: backward, and forward where the gate looks at it."""

    backward: Tensor
    forward: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Motion:
    """Flow and confidence over the network's input, padding included; each layer brings them to its own size."""

    flow: Tensor  # [B,2,h,w], backward, after FlowCNN, in pixels of its own grid
    confidence: Confidence | None  # [B,1,h',w'] in 0-1; None for 1 everywhere
    size: tuple[int, int]  # (height, width) of the network's input, which both cover

    @classmethod
    def between(
        cls,
        current: Tensor,
        previous: Tensor,
        flows: Flows,
        flow_cnn: FlowCNN | None,
        gate: Gate | None,
        preprocess: Preprocess,
    ) -> Motion:
        """Correct the flow between two frames ``[B,3,H,W]``, and compute the gate's confidence in it."""
        flow, forward_flow = flows
        present, past = to_unit_range(current), to_unit_range(previous)
        confidence = None if gate is None else gate(present, past, flow, forward_flow)
        if flow_cnn is not None and not flow_cnn.sees_input:
            flow = flow_cnn(flow, present, past)
        motion = cls.over_input(flow, confidence, preprocess, (current.shape[-2], current.shape[-1]))
        if flow_cnn is None or not flow_cnn.sees_input:
            return motion
        flow = flow_cnn(resize_flow(motion.flow, motion.size), preprocess(present), preprocess(past))
        return replace(motion, flow=flow)

    @classmethod
    def over_input(
        cls, flow: Tensor, confidence: Confidence | None, preprocess: Preprocess, size: tuple[int, int]
    ) -> Motion:
        """Bring what covers a frame of a size (height, width) to the network's input, which may be padded."""
        resized, padded = preprocess.grid(size)
        if padded != resized:
            # The representations cover the padding too, and so must what moves them.
            margin = (0, padded[1] - resized[1], 0, padded[0] - resized[0])
            flow = F.pad(resize_flow(flow, resized), margin, mode="replicate")
            if confidence is not None:
                confidence = F.pad(resize_confidence(confidence, resized), margin, mode="replicate")
        return cls(flow, confidence, padded)

    def with_margin(self, margin: int) -> Motion:
        """Extend it to a layer whose map covers more than the network's input, mirrored outward."""
        if margin == 0:
            return self
        flow = reflect_flow(resize_flow(self.flow, self.size), margin)
        confidence = self.confidence
        if confidence is not None:
            confidence = reflect(resize_confidence(confidence, self.size), margin)
        return Motion(flow, confidence, (self.size[0] + 2 * margin, self.size[1] + 2 * margin))
