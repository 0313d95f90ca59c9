"""What comes before the network: frames and flow are checked, flow is estimated, and motion between frames found."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from netwarp.errors import ConfigurationError, NetWarpError
from netwarp.flow import FlowSource, PrecomputedFlow
from netwarp.flow.registry import only_in_clips
from netwarp.model.flow_cnn import FlowCNN
from netwarp.model.gates import Gate, GateFunction, PhotometricGate, as_gate
from netwarp.model.inputs import Preprocess, as_frames, base_device, check_flow
from netwarp.model.netwarp import Flows, Motion, confidence_in
from netwarp.model.outputs import Hooks

Frame = Tensor | np.ndarray


class FrameMotion(nn.Module):
    """Motion between frames, for a network that a subclass runs. That sets the parts."""

    base: nn.Module
    preprocess: Preprocess
    hooks: Hooks | None  # on the network's layers; None once they are removed
    layers: tuple[str, ...]  # in the order in which they run, "output" or "log_probs" last
    flow: FlowSource
    flow_cnn: FlowCNN | None
    gate: Gate | GateFunction | None

    @torch.no_grad()
    def estimate_flow(self, current: Frame, previous: Frame, index: int | None = None) -> Tensor:
        """Estimate the flow that :meth:`step` would use, before FlowCNN.

        Args:
            current: As in :meth:`step`.
            previous: The frame before it, of the same size.
            index: Number of the current frame in its video, for estimators that look flow up.

        Returns:
            ``[B,2,H,W]``, backward, pixels.

        Raises:
            InputError: the estimator gave something else, or NaN, or the flow is ``"true"``.
        """
        if isinstance(self.flow, str):
            raise only_in_clips()
        present, past = self.checked(current), self.checked(previous)
        return check_flow(self.flow(present, past, index), present)

    @torch.no_grad()
    def estimate_motion(
        self, current: Frame, previous: Frame, flow: Tensor | Flows | None = None, index: int | None = None
    ) -> Motion | None:
        """Do the part of :meth:`step` that needs no network: flow, FlowCNN and gate; for a thread that works ahead.

        Args:
            current: As in :meth:`step`.
            previous: The frame before it, of the same size.
            flow: ``[B,2,H,W]``, backward, pixels, if known; else it is estimated.
            index: Number of the current frame in its video, for estimators that look flow up.

        Returns:
            What :meth:`step` takes in place of flow; None where the model has no layers, and needs none.

        Raises:
            InputError: as :meth:`step`.
        """
        present, past = self.checked(current), self.checked(previous)
        if not self.layers:
            return None
        return self.motion_between(present, past, self.flows_between(present, past, flow, index=index))

    def flows_between(
        self,
        current: Tensor,
        previous: Tensor,
        flow: Tensor | Flows | None = None,
        forward_flow: Tensor | None = None,
        index: int | None = None,
    ) -> Flows:
        """Check the flows that are given between two frames, and estimate those that the model needs besides."""
        if not isinstance(flow, Flows):
            flow = Flows(self.estimate_flow(current, previous, index) if flow is None else check_flow(flow, current))
        gate = as_gate(self.gate)
        if flow.forward is not None or gate is None or not gate.needs_forward_flow:
            return flow
        if forward_flow is not None:
            return flow._replace(forward=check_flow(forward_flow, current))
        if isinstance(self.flow, PrecomputedFlow):
            raise ConfigurationError(
                "the gate's term 'forward_backward' needs flow in both directions, and precomputed flow has one: "
                "give forward_flows= to unroll, or leave that term out"
            )
        return flow._replace(forward=self.estimate_flow(previous, current))

    def flows_ahead(self, current: Tensor, previous: Tensor, flows: Flows) -> Flows:
        """Flow from the previous frame to the current one and the trust in it, for what looks ahead."""
        if isinstance(self.flow, PrecomputedFlow):
            raise ConfigurationError(
                "looking ahead needs flow in both directions, and precomputed flow has one: leave lag and offline out, "
                "or take another flow"
            )
        forward = self.estimate_flow(previous, current) if flows.forward is None else flows.forward
        gate = as_gate(self.gate) or PhotometricGate()
        return Flows(forward, None, confidence_in(gate, previous, current, forward, flows.backward))

    def flows_to_keyframe(
        self,
        present: Tensor,
        before: Tensor,
        path: Flows | None,
        flow: Tensor | Flows | None,
        index: int | None,
        *,
        keyframe: bool,
    ) -> Flows:
        """Go on from the frame before, which ``path`` leads from to the last keyframe, with the trust in all flows.

        From a keyframe to one right behind it, trust is left to :class:`Motion`.
        """
        flows = self.flows_between(present, before, flow, index=index)
        if path is None and keyframe:
            return flows
        flows = self.trusted(present, before, flows)
        return flows if path is None else flows.on_to(path)

    def trusted(self, current: Frame, previous: Frame, flows: Flows) -> Flows:
        """Add the gate's confidence in the flows between two frames, where there is a gate."""
        gate = as_gate(self.gate)
        if gate is None or flows.trust is not None:
            return flows
        present, past = self.checked(current), self.checked(previous)
        return flows._replace(trust=confidence_in(gate, present, past, flows.backward, flows.forward))

    def motion_between(self, current: Tensor, previous: Tensor, flows: Flows) -> Motion:
        """Correct the flows between two frames, and compute the confidence in them."""
        return Motion.between(current, previous, flows, self.flow_cnn, as_gate(self.gate), self.preprocess)

    def checked(self, frame: Frame) -> Tensor:
        """A frame as ``[B,3,H,W]`` on the network's device; refuses any other, and all once the hooks are removed."""
        return as_frames(frame, self._device())

    def _device(self) -> torch.device:
        if self.hooks is None:
            raise NetWarpError("this VideoModel was removed from its base: build a new one")
        return base_device(self.base)
