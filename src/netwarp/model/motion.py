"""Motion between two frames: flow corrected by FlowCNN and the gate's confidence, over the network's input."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from netwarp.model.flow_cnn import FlowCNN
from netwarp.model.gates import Confidence, Gate, resize_confidence
from netwarp.model.inputs import Preprocess, to_unit_range
from netwarp.ops import reflect, reflect_flow, resize_flow


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
