"""NetWarp: motion between two frames, and the previous frame's representation brought along it (paper, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netwarp.errors import ConfigurationError
from netwarp.model.flow_cnn import FlowCNN
from netwarp.model.gates import Confidence, Gate, resize_confidence
from netwarp.model.inputs import Preprocess, to_unit_range
from netwarp.ops import Grid, resize_flow, sample_confidence, sample_flow, warp, warp_combine
from netwarp.ops.warp import Borders, Interpolation, check_interpolation


class NetWarp(nn.Module):
    """Combination of representations, z̃_t = w1 ⊙ z_t + w2 ⊙ Warp(z_{t−1}, F) (paper, Eq. 1–3).

    A fresh one passes the current representation on unchanged: w1 = 1, w2 = 0.

    Args:
        channels: Number of channels of the representation.
        start: Initial value of all w1 and of all w2.
        interpolation: How the previous representation is sampled, ``"bilinear"`` or ``"bicubic"``.

    Attributes:
        w1: ``[channels]``, weights of the current frame's representation.
        w2: ``[channels]``, weights of the previous frame's, warped.

    Raises:
        ConfigurationError: ``channels`` is below 1, or the interpolation unknown.
    """

    def __init__(
        self, channels: int, start: tuple[float, float] = (1.0, 0.0), interpolation: Interpolation = "bilinear"
    ) -> None:
        super().__init__()
        check_interpolation(interpolation)
        self.interpolation: Interpolation = interpolation
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
        flow = resize_flow(flow, size)
        return warp_combine(current, previous, flow, self.w1, self.w2, gate, interpolation=self.interpolation)

    def extra_repr(self) -> str:
        return f"channels={self.channels}, interpolation={self.interpolation!r}"


class Flows(NamedTuple):
    """Checked flow between two frames: ``[B,2,H,W]`` backward, and forward where the gate looks at it.

    ``trust`` is the gate's confidence ``[B,1,H,W]`` where it is known already, as over several frames.
    """

    backward: Tensor
    forward: Tensor | None = None
    trust: Tensor | None = None

    def on_to(self, path: Flows) -> Flows:
        """Go on along the flows from the previous frame to an earlier one, and multiply the trust in both."""
        trust = None
        if self.trust is not None and path.trust is not None:
            trust = self.trust * warp(path.trust, self.backward)
        return Flows(self.backward + warp(path.backward, self.backward), None, trust)


def confidence_in(
    gate: Gate, current: Tensor, previous: Tensor, flow: Tensor, forward_flow: Tensor | None
) -> Confidence:
    """Ask a gate about two frames ``[B,3,H,W]``, in the form that it takes."""
    if not getattr(gate, "takes_bytes", False):
        current, previous = to_unit_range(current), to_unit_range(previous)
    return gate(current, previous, flow, forward_flow)


@dataclass(frozen=True, eq=False)
class Motion:
    """Flow and confidence between two frames, and where both lie in the network's input."""

    flow: Tensor  # [B,2,h,w], backward, after FlowCNN, in pixels of its own grid
    grid: Grid  # where the places of the flow lie in the network's input
    confidence: Confidence | None  # [B,1,h',w'] in 0-1, over the frame; None for 1 everywhere
    resized: tuple[int, int]  # (height, width) that the frame has in the network's input
    size: tuple[int, int]  # (height, width) of the network's input, padding included

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
        flow, forward_flow, confidence = flows
        resized, padded = preprocess.grid((current.shape[-2], current.shape[-1]))
        # 1.0 itself where nothing is resized: of the symbolic sizes of an export for all sizes no remainder is right.
        scales = (1.0 if n == length else n / length for n, length in zip(resized, current.shape[-2:], strict=True))
        grid = Grid.of_cells(list(scales))
        if confidence is None and gate is not None:
            confidence = confidence_in(gate, current, previous, flow, forward_flow)
        if flow_cnn is None:
            return cls(flow, grid, confidence, resized, padded)
        present, past = to_unit_range(current), to_unit_range(previous)
        if flow_cnn.sees_input:
            margin = (0, padded[1] - resized[1], 0, padded[0] - resized[0])
            flow = F.pad(resize_flow(flow, resized), margin, mode="replicate")
            flow, grid = flow_cnn(flow, preprocess(present), preprocess(past)), flow_cnn.grid
        else:
            flow, grid = flow_cnn(flow, present, past), flow_cnn.grid.on(grid)
        return cls(flow, grid, confidence, resized, padded)

    def at(self, grid: Grid | None, size: tuple[int, int], margin: int = 0) -> tuple[Tensor, Confidence | None]:
        """Bring flow ``[B,2,h,w]`` and confidence ``[B,1,h,w]`` to the h×w places of a layer.

        A layer without a grid of its own shares the network's input among its cells. With a margin, which a layer looks
        beyond that input, what lies there is its reflection.
        """
        if grid is None:
            grid = Grid.of_cells([(n + 2 * margin) / m for n, m in zip(self.size, size, strict=True)], -margin)
        flow = sample_flow(self.flow, grid.among(self.grid), size, self._mirror(self.grid, margin))
        if self.confidence is None:
            return flow, None
        over = Grid.of_cells([n / m for n, m in zip(self.resized, self.confidence.shape[-2:], strict=True)])
        return flow, sample_confidence(self.confidence, grid.among(over), size, self._mirror(over, margin))

    def _mirror(self, grid: Grid, margin: int) -> Borders | None:
        """First and last pixel of the network's input, in places of a grid, for a layer that looks beyond them."""
        ends = zip(self.size, grid.stride, grid.offset, strict=True)
        down, across = (((0 - o) / s, (n - 1 - o) / s) for n, s, o in ends)
        return (down, across) if margin else None
