"""VideoModel: any segmentation network, as an online video network (paper, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from netwarp.errors import ConfigurationError, InputError, NetWarpError, unknown_name
from netwarp.flow import FlowEstimator, make_flow
from netwarp.model.carried import label_set_of, preprocess_of
from netwarp.model.flow_cnn import FlowCNN
from netwarp.model.frames import as_clip, as_flows, as_frames, check_flow
from netwarp.model.freezing import rest_frozen
from netwarp.model.gate import PhotometricGate
from netwarp.model.motion import Motion, motion_between
from netwarp.model.netwarp import NetWarp
from netwarp.model.passes import run_pass
from netwarp.model.placement import OUTPUTS, place
from netwarp.model.preprocess import Preprocess
from netwarp.model.probe import base_device
from netwarp.model.recompute import recomputed
from netwarp.model.taps import Taps

__all__ = ["TRAINING_FREE_GATE", "TRAINING_FREE_START", "VideoModel", "VideoState"]

TRAINING_FREE_START = (0.2, 0.8)
TRAINING_FREE_GATE = PhotometricGate()
"""Weights and gate of the mode without training: chosen on rendered video (docs/training_free.md)."""

Memory = Literal["previous", "fused"]
Frame = Tensor | np.ndarray


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
        flow_cnn: ``"paper"``, a :class:`FlowCNN`, or None to use the flow as it is.
        memory: ``"previous"`` keeps the previous frame's own representation (the paper); ``"fused"`` keeps the combined
            one, so that the past reaches further than a frame.
        start: Initial w1 and w2 of every NetWarp.
        gate: Trust in the warped representation per pixel, or None for the paper's equation.
        training_free: The mode that needs no training and no labels: ``"log_probs"`` unless ``layers`` says otherwise,
            fixed weights, photometric gate, fused memory, no FlowCNN (docs/training_free.md).
        preprocess: What the network wants done to a frame; by default ``base.preprocess``, else ImageNet's mean and
            standard deviation.
        classes: Class names; by default ``base.classes``.
        palette: RGB colours (0–255) of the classes; by default ``base.palette``.
        example_size: (height, width) of a frame that the network takes, for finding out what its layers return;
            needed only by networks that refuse the sizes in :data:`netwarp.model.probe.SIZES`.

    Attributes:
        base: The network.
        layers: The layers in the order in which they run.
        netwarps: A :class:`NetWarp` for each.
        flow_cnn: The :class:`FlowCNN`, or None.

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
        gate: PhotometricGate | None = None,
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
        if layers is None:
            if not training_free:
                raise ConfigurationError(
                    "no layers given: name those that get a NetWarp ('netwarp layers' lists them), "
                    "or use training_free=True"
                )
            layers = ["log_probs"]
        if training_free:
            if isinstance(flow_cnn, FlowCNN):
                raise ConfigurationError("training_free=True uses no FlowCNN: an untrained one only harms the flow")
            flow_cnn = None
            gate = gate or TRAINING_FREE_GATE
        memory = memory or ("fused" if training_free else "previous")
        if memory not in ("previous", "fused"):
            raise unknown_name("memory", memory, ("previous", "fused"))
        start = start or (TRAINING_FREE_START if training_free else (1.0, 0.0))
        if not isinstance(start, (tuple, list)) or len(start) != 2:
            raise ConfigurationError(f"start must be the initial (w1, w2), not {start!r}")
        if gate is not None and not callable(gate):
            raise ConfigurationError(f"gate must be a PhotometricGate or None, not {gate!r}")
        preprocess = preprocess or preprocess_of(base)
        estimator = make_flow(flow)
        if isinstance(flow_cnn, str):
            flow_cnn = FlowCNN(flow_cnn)

        placement = place(base, layers, preprocess, example_size)
        labels = label_set_of(base, placement.classes, classes, palette)

        self.layers = placement.layers
        self._channels = placement.channels
        device = base_device(base)
        self.base = base
        self.netwarps = nn.ModuleList(NetWarp(c, start) for c in placement.channels).to(device)
        self.flow_cnn = flow_cnn.to(device) if flow_cnn is not None and self.layers else None
        if training_free:
            self.netwarps.requires_grad_(False)
        self.flow = estimator
        self.memory: Memory = memory
        self.gate = gate
        self.training_free = training_free
        self.preprocess = preprocess
        self.example_size = example_size
        self.classes = labels.names
        self.palette = labels.palette
        for module in (self, self.netwarps, *self.netwarps, self.flow_cnn):
            if module is not None:
                module.training = base.training
        self._taps: Taps | None = Taps(base, [name for name in self.layers if name not in OUTPUTS])

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
        return self._unroll((past, present), (flow,))[-1]

    def unroll(
        self,
        frames: Tensor,
        flows: Tensor | None = None,
        *,
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
        logits = self._unroll(clip, as_flows(flows, clip), checkpoint=checkpoint, every=every, detach=detach)
        return logits if every else logits[-1]

    def step(
        self,
        frame: Frame,
        state: VideoState | None = None,
        flow: Tensor | None = None,
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
            flow: ``[B,2,H,W]`` from this frame to the state's, backward, pixels, if known; else it is estimated.
            index: Number of the frame in its video, from 0, for flow that is looked up (``precomputed:``).

        Returns:
            Logits ``[B,classes,H,W]``, and the state for the next step. The state holds no gradients unless the model
            is in training mode.

        Raises:
            InputError: as :meth:`forward`, or the state is another model's.
        """
        present = self._checked(frame)
        if state is not None and state.frame.shape != present.shape:
            state = None
        if state is not None:
            if tuple(kept.shape[1] for kept in state.memory) != self._channels:
                raise InputError("the state comes from a model with other layers: start a stream with state=None")
            flow = self._flow(present, state.frame, flow, index)
        logits, after = self._advance(present, state, flow)
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
        if self._taps is not None:
            self._taps.remove()
            self._taps = None
        return self.base

    def save(self, path: str | Path, *, include_base: bool = True) -> None:
        """Write the model as one safetensors file; see :func:`netwarp.model.saved.save`."""
        from netwarp.model.saved import save

        save(self, path, include_base=include_base)

    def extra_repr(self) -> str:  # noqa: D102
        return f"layers={list(self.layers)}, memory={self.memory!r}, gate={self.gate}"

    def _checked(self, frame: Frame) -> Tensor:
        return as_frames(frame, self._device())

    def _device(self) -> torch.device:
        if self._taps is None:
            raise NetWarpError("this VideoModel was removed from its base: build a new one")
        return base_device(self.base)

    def _flow(self, current: Tensor, previous: Tensor, flow: Tensor | None, index: int | None = None) -> Tensor | None:
        if not self.layers:
            return None
        return self.estimate_flow(current, previous, index) if flow is None else check_flow(flow, current)

    def _unroll(
        self,
        frames: Sequence[Tensor],
        flows: Sequence[Tensor | None],
        *,
        checkpoint: bool = False,
        every: bool = False,
        detach: bool = False,
    ) -> list[Tensor]:
        """Logits of every frame, or of the last alone; ``flows[i]`` leads from frame i+1 to frame i."""
        results: list[Tensor] = []
        state: VideoState | None = None
        last = len(frames) - 1
        for index in range(0 if every else self._first_needed(last), len(frames)):
            frame, wanted = frames[index], every or index == last
            flow = None if state is None else self._flow(frame, state.frame, flows[index - 1])
            advance = partial(self._advance, state=state, flow=flow, whole=wanted)
            with torch.set_grad_enabled(torch.is_grad_enabled() and (wanted or not detach)):
                # The last frame is first in the backward pass: to compute it again there would save nothing.
                logits, state = recomputed(advance, frame, self.base) if checkpoint and index < last else advance(frame)
            if detach:
                state = state.detached()
            if logits is not None:
                results.append(logits)
        return results

    def _first_needed(self, last: int) -> int:
        """The first frame that the last one's logits depend on."""
        if not self.layers:
            return last
        return max(last - 1, 0) if self.memory == "previous" and len(self.layers) == 1 else 0

    def _advance(
        self, frame: Tensor, state: VideoState | None, flow: Tensor | None, *, whole: bool = True
    ) -> tuple[Tensor | None, VideoState]:
        """A step whose arguments are checked; no logits unless the whole pass is wanted."""
        if state is None or flow is None:
            logits, memory = self._segment(frame, whole=whole)
        else:
            motion = motion_between(
                frame, state.frame, flow, flow_cnn=self.flow_cnn, gate=self.gate, preprocess=self.preprocess
            )
            logits, memory = self._segment(frame, state.memory, motion, whole=whole)
        return logits, VideoState(frame, memory)

    def _segment(
        self,
        frame: Tensor,
        memory: tuple[Tensor, ...] = (),
        motion: Motion | None = None,
        *,
        whole: bool,
    ) -> tuple[Tensor | None, tuple[Tensor, ...]]:
        """One pass of the network, with a motion combined with the memory; logits, if wanted, and the new memory."""
        kept: dict[str, Tensor] = {}

        def combine(name: str, current: Tensor) -> Tensor:
            combined = current
            if motion is not None:
                place = self.layers.index(name)
                previous = memory[place]
                if previous.shape != current.shape:
                    raise InputError(
                        f"layer {name!r} gives {list(current.shape)} now and gave {list(previous.shape)} for the "
                        "previous frame: a NetWarp needs a layer whose size depends on the frame's size alone"
                    )
                combined = self.netwarps[place](current, previous, motion.flow, motion.gate)
            # A clone, since a network may go on to change its representation in place.
            kept[name] = (current if self.memory == "previous" else combined).clone()
            return combined

        assert self._taps is not None  # _device() came first
        logits = run_pass(self.base, self._taps, self.layers, frame, self.preprocess, combine, whole=whole)
        return logits, tuple(kept[name] for name in self.layers)
