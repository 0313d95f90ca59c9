"""What brings the previous frame's representations to the current frame: corrected flow, and trust in it."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from netwarp.model.flow_cnn import FlowCNN
from netwarp.model.frames import to_unit_range
from netwarp.model.gate import Trust, resize_trust
from netwarp.model.learned_gate import LearnedGate
from netwarp.model.options import Gate
from netwarp.model.preprocess import Preprocess
from netwarp.ops import reflect, reflect_flow, resize_flow

__all__ = ["Motion", "motion_between"]


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
        """The same for a layer whose map looks beyond the network's input, where it sees that in a mirror.

        Args:
            margin: By how many pixels of the input on each side.

        Returns:
            Motion over ``size`` and the margin; the same for a margin of 0.
        """
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
    """Correct a flow, judge it, and lay both over the network's input.

    Args:
        current: ``[B,3,H,W]``, RGB, uint8 or floating point in 0–1.
        previous: ``[B,3,H,W]``, the frame before it, likewise.
        flow: ``[B,2,H,W]``, backward, pixels, as it was estimated.
        forward_flow: ``[B,2,H,W]``, from the previous frame to the current one, where the gate needs it.
        flow_cnn: Corrects the flow, or None.
        gate: Judges the flow as it was estimated, or None.
        preprocess: What is done to a frame before the network sees it.

    Returns:
        The motion.
    """
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
