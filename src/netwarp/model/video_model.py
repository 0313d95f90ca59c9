"""VideoModel: any segmentation network, as an online video network (paper, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from netwarp.errors import ConfigurationError, InputError, NetWarpError
from netwarp.flow import FlowEstimator
from netwarp.model.base_metadata import label_set_of, margin_of, preprocess_of
from netwarp.model.flow_cnn import FlowCNN
from netwarp.model.hooks import Taps
from netwarp.model.inputs import as_clip, as_flows, as_frames, check_flow
from netwarp.model.layers import OUTPUTS, base_device, place
from netwarp.model.netwarp import NetWarp
from netwarp.model.options import Gate, Memory, Options
from netwarp.model.preprocess import Preprocess
from netwarp.model.unrolled import Motion, VideoState, advance, flows_between, motion_along, unroll

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


Frame = Tensor | np.ndarray


class VideoModel(nn.Module):
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
        flow: An estimator, or its name (:func:`netwarp.flow.make_flow`).
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
        taps: The hooks on the network, or None once they are removed.

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
        gate: str | Gate | None = None,
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
        asked = Options.of(layers, flow, flow_cnn, memory=memory, start=start, gate=gate, training_free=training_free)
        preprocess = preprocess_of(base) if preprocess is None else preprocess
        placement = place(base, asked.layers, preprocess, example_size)
        labels = label_set_of(base, placement.classes, classes, palette)

        self.layers = placement.layers
        self._channels = placement.channels
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
        self.taps: Taps | None = Taps(base, [name for name in self.layers if name not in OUTPUTS])

    def forward(self, current: Frame, previous: Frame, flow: Tensor | None = None) -> Tensor:
        """Segment a frame with the help of the one before: the form for training (paper, "Usage and Training").

        Gradients reach the network through both frames. The previous frame's pass stops at the last NetWarp.

        Args:
            current: RGB ``[B,3,H,W]``, uint8 or floating point in 0–1.
            previous: The frame before it, likewise.
            flow: ``[B,2,H,W]``, backward, pixels, if known; else it is estimated.

        Returns:
            Logits ``[B,classes,H,W]``.

        Raises:
            InputError: frames or flow do not fit together, or hold what they must not.
            ConfigurationError: a layer with a NetWarp does not run on every frame.
        """
        present, past = self._checked(current), self._checked(previous)
        if present.shape != past.shape:
            raise InputError(
                f"current {list(present.shape)} and previous {list(past.shape)} frame differ in size: "
                "a pair must be two frames of one video"
            )
        return unroll(self, (past, present), (flow,), (None,))[-1]

    def unroll(
        self,
        frames: Tensor,
        flows: Tensor | None = None,
        *,
        forward_flows: Tensor | None = None,
        checkpoint: bool = False,
        every: bool = False,
        detach: bool = False,
    ) -> Tensor | list[Tensor]:
        """Segment a clip with gradients through time: what :meth:`step` computes, frame after frame.

        A frame whose logits are not asked for costs no more of its pass than its memory needs, and a frame that the
        result does not depend on costs nothing: with ``memory="previous"`` and one layer those are all but the last
        two.

        Args:
            frames: RGB ``[B,T,3,H,W]``, oldest first, uint8 or floating point in 0–1.
            flows: ``[B,T-1,2,H,W]``, backward, pixels, if known: ``flows[:, i]`` leads from frame i+1 to frame i. Else
                they are estimated.
            forward_flows: ``[B,T-1,2,H,W]``, those from frame i to frame i+1, if known; only a learned gate with the
                term ``forward_backward`` looks at them.
            checkpoint: Keep no activations of the frames before the last and compute them again in the backward
                pass: for a quarter to a third more time, a long clip takes about the memory of one frame.
            every: Whether the logits of all frames are wanted.
            detach: Give the past no gradient: memory is taken as it is, and frames before the last are run without.

        Returns:
            Logits ``[B,classes,H,W]`` of the last frame; with ``every`` a list of those of all frames.

        Raises:
            InputError: frames or flows do not fit together, or hold what they must not.
            ConfigurationError: a layer with a NetWarp does not run on every frame.
        """
        clip = as_clip(frames, self._device())
        given = (as_flows(each, clip) for each in (flows, forward_flows))
        logits = unroll(self, clip, *given, checkpoint=checkpoint, every=every, detach=detach)
        return logits if every else logits[-1]

    def step(
        self,
        frame: Frame,
        state: VideoState | None = None,
        flow: Tensor | Motion | None = None,
        *,
        index: int | None = None,
    ) -> tuple[Tensor, VideoState]:
        """Segment the next frame of a stream: one pass of the network per frame.

        With one layer and ``memory="previous"`` a stream equals its pairs. With several, the deeper memories come from
        a frame that was itself combined, as when the paper's network is unrolled in time.

        Args:
            frame: RGB ``[B,3,H,W]``, uint8 or floating point in 0–1, or numpy ``[H,W,3]`` uint8.
            state: What the step before returned. Without one, or with one for another size, the frame is a first one
                and gets the network's own output.
            flow: ``[B,2,H,W]`` from this frame to the state's, backward, pixels, if known, or what
                :meth:`estimate_motion` made of it; else it is estimated.
            index: Number of the frame in its video, from 0, for flow that is looked up (``precomputed:``).

        Returns:
            Logits ``[B,classes,H,W]``, and the state for the next step. The state holds no gradients unless the model
            is in training mode.

        Raises:
            InputError: as :meth:`forward`, or the state is another model's.
        """
        present = self._checked(frame)
        if state is not None and not isinstance(state, VideoState):
            raise InputError(f"state must be what the step before returned, or None, not {type(state).__name__}")
        if state is not None and state.frame.shape != present.shape:
            state = None
        if state is not None and tuple(kept.shape[1] for kept in state.memory) != self._channels:
            raise InputError("the state comes from a model with other layers: start a stream with state=None")
        motion = None if state is None else self._motion(present, state.frame, flow, index)
        logits, after = advance(self, present, state, motion)
        assert logits is not None
        # A clone, since cameras and decoders fill one tensor again and again.
        after = VideoState(present.clone() if present is frame else present, after.memory)
        return logits, after if self.training else after.detached()

    @torch.no_grad()
    def estimate_flow(self, current: Frame, previous: Frame, index: int | None = None) -> Tensor:
        """The flow that :meth:`step` would use, before FlowCNN.

        Args:
            current: As in :meth:`step`.
            previous: The frame before it, of the same size.
            index: Number of the current frame in its video, for estimators that look flow up.

        Returns:
            ``[B,2,H,W]``, backward, pixels.

        Raises:
            InputError: the estimator gave something else, or NaN.
        """
        present, past = self._checked(current), self._checked(previous)
        return check_flow(self.flow(present, past, index), present)

    @torch.no_grad()
    def estimate_motion(
        self, current: Frame, previous: Frame, flow: Tensor | None = None, index: int | None = None
    ) -> Motion | None:
        """All of :meth:`step` that does not need the network: flow, FlowCNN and gate, for a thread that works ahead.

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
        return self._motion(self._checked(current), self._checked(previous), flow, index)

    def _motion(self, present: Tensor, past: Tensor, flow: Tensor | Motion | None, index: int | None) -> Motion | None:
        if isinstance(flow, Motion):
            if flow.size != self.preprocess.grid((present.shape[-2], present.shape[-1]))[1]:
                raise InputError(f"the motion is that of another frame, of {flow.size[1]}×{flow.size[0]} pixels")
            return flow
        flows = flows_between(self, present, past, flow, index=index)
        return None if flows is None else motion_along(self, present, past, flows)

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
        if self.taps is not None:
            self.taps.remove()
            self.taps = None
        return self.base

    def save(self, path: str | Path, *, include_base: bool = True) -> None:
        """Write the model as one safetensors file; see :func:`netwarp.model.model_file.save`."""
        from netwarp.model.model_file import save

        save(self, path, include_base=include_base)

    def extra_repr(self) -> str:  # noqa: D102
        gate = "learned" if isinstance(self.gate, nn.Module) else self.gate
        return f"layers={list(self.layers)}, memory={self.memory!r}, gate={gate}"

    def _checked(self, frame: Frame) -> Tensor:
        return as_frames(frame, self._device())

    def _device(self) -> torch.device:
        if self.taps is None:
            raise NetWarpError("this VideoModel was removed from its base: build a new one")
        return base_device(self.base)
