"""The network unrolled in time: one pass a frame, combined with the frame before (paper, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netwarp.errors import ConfigurationError, InputError
from netwarp.freed_memory import keep_freed_memory
from netwarp.model.answer import logits_of
from netwarp.model.checkpointing import recomputed
from netwarp.model.frame_motion import Frame, FrameMotion
from netwarp.model.gates import as_gate
from netwarp.model.inputs import as_clip, network_input
from netwarp.model.netwarp import Flows, Motion
from netwarp.model.outputs import StopPass, contenders, output_grid, to_frame_size
from netwarp.model.running import run
from netwarp.model.task import Task
from netwarp.model.video_state import VideoState
from netwarp.ops import Grid, warp
from netwarp.ops.kernels import labels_along

Finish = Callable[[Tensor, tuple[int, int]], Tensor]

AT_ONCE = 1 << 26
"""Logits that are brought to a frame's size at once, where only labels are wanted: 256 MB."""
Memory = Literal["previous", "fused"]


class UnrolledNetwork(FrameMotion):
    """Runs a network frame by frame and combines its layers with the previous frame's. A subclass sets the parts."""

    task: Task  # what the network's output is
    answer_grid: Grid | None  # where the places of the network's result lie in its input
    grids: tuple[Grid | None, ...]  # where the places of each layer's map look in the network's input
    margins: tuple[int, ...]  # how far each layer's map reaches beyond the network's input, in pixels of it
    netwarps: nn.ModuleList  # one for each layer
    memory: Memory
    training_free: bool

    def forward(self, current: Frame, previous: Frame, flow: Tensor | None = None) -> Tensor:
        """Segment a frame with the help of the one before: the form for training (paper, "Usage and Training").

        Gradients reach the network through both frames. The previous frame's pass stops at the last NetWarp.

        Args:
            current: RGB ``[B,3,H,W]``, uint8 or floating point in 0–1.
            previous: The frame before it, in the same form.
            flow: ``[B,2,H,W]``, backward, pixels, if known; else it is estimated.

        Returns:
            Logits ``[B,classes,H,W]``.

        Raises:
            InputError: frames or flow do not fit together, or hold what they must not.
            ConfigurationError: a layer with a NetWarp does not run on every frame.
        """
        present, past = self.checked(current), self.checked(previous)
        if present.shape != past.shape:
            raise InputError(
                f"current {list(present.shape)} and previous {list(past.shape)} frame differ in size: "
                "a pair must be two frames of one video"
            )
        return self._unroll((past, present), (flow,), (None,))[-1]

    def step(
        self,
        frame: Frame,
        state: VideoState | None = None,
        flow: Tensor | Flows | Motion | None = None,
        *,
        index: int | None = None,
        keyframe: bool = True,
        as_labels: bool = False,
    ) -> tuple[Tensor, VideoState]:
        """Segment the next frame of a stream: one pass of the network per frame, or none.

        Where it is no keyframe the network does not run: the answer of the last keyframe is carried along the flow, and
        memories wait there. The next keyframe combines with them along the flow of all frames between.

        With one layer and ``memory="previous"`` a stream equals its pairs. With several, the deeper memories come from
        a frame that was itself combined, as when the paper's network is unrolled in time.

        Args:
            frame: RGB ``[B,3,H,W]``, uint8 or floating point in 0–1, or numpy ``[H,W,3]`` uint8.
            state: What the step before returned. Without one, or with one for another size, the frame is a first one
                and gets the network's own output.
            flow: ``[B,2,H,W]`` from this frame to the state's, backward, pixels, if known, or what
                :meth:`estimate_motion` made of it; else it is estimated.
            index: Number of the frame in its video, from 0, for flow that is looked up (``precomputed:``).
            keyframe: Whether the network runs on this frame. It does on a first one.
            as_labels: Return :meth:`labels` in place of logits: at 3840×2160 those of 150 classes take 5 GB, and their
                way to the frame's size the most of the time.

        Returns:
            Logits ``[B,classes,H,W]``, and the state for the next step, which may share their memory: change a copy.
            The state holds no gradients unless the model is in training mode.

        Raises:
            InputError: as :meth:`forward`, the state is another model's, or it holds no answer to carry.
        """
        keep_freed_memory()
        present = self.checked(frame)
        if state is not None and not isinstance(state, VideoState):
            raise InputError(f"state must be what the step before returned, or None, not {type(state).__name__}")
        if state is not None and state.frame.shape != present.shape:
            state = None
        if state is not None and [kept.shape[1] for kept in state.memory] != [n.channels for n in self.netwarps]:
            raise InputError("the state comes from a model with other layers: start a stream with state=None")
        # A clone, since cameras and decoders fill one tensor again and again.
        kept = present.clone() if present is frame else present
        motion: Flows | Motion | None = None
        if isinstance(flow, Motion):
            motion = flow
            if state is not None and flow.size != self.preprocess.grid((present.shape[-2], present.shape[-1]))[1]:
                raise InputError(f"the motion is that of another frame, of {flow.size[1]}×{flow.size[0]} pixels")
        elif state is not None and (self.layers or not keyframe):
            before = state.frame if state.latest is None else state.latest
            motion = self.flows_to_keyframe(present, before, state.path, flow, index, keyframe=keyframe)
        if state is not None and not keyframe:
            if not isinstance(motion, Flows):
                raise InputError("a frame without the network needs flow, not what estimate_motion made of it")
            carried = self.carry(state, motion)
            return self.labels(carried) if as_labels else carried, replace(state, latest=kept, path=motion)
        result, after = self.advance(present, state, motion, finish=self._labels_at if as_labels else None)
        assert result is not None
        after = replace(after, frame=kept)
        return result, after if self.training else after.detached()

    def carry(self, state: VideoState, path: Flows) -> Tensor:
        """Carry the answer of the last keyframe along ``path``, the flow to it: logits ``[B,classes,H,W]``."""
        return self.enlarge(self.carry_answer(state, path), state.frame)

    def carry_answer(self, state: VideoState, path: Flows) -> Tensor:
        """Carry it likewise, but leave it at the network's own size."""
        if state.answer is None:
            raise InputError("the state holds no answer to carry: run the network on this frame (keyframe=True)")
        return warp(state.answer, self.at_answer(path, state.answer)[0])

    def at_answer(self, flows: Flows, answer: Tensor) -> tuple[Tensor, Tensor | None]:
        """Bring flow and trust of a frame to the places of its answer ``[B,classes,h,w]``."""
        size = (answer.shape[-2], answer.shape[-1])
        motion = Motion.between(flows.backward, flows.backward, flows, None, None, self.preprocess)
        return motion.at(self.answer_grid, size)

    def enlarge(self, answer: Tensor, frame: Tensor) -> Tensor:
        """Bring an answer to the size of a frame ``[B,3,H,W]``."""
        return self._at_frame_size(answer, (frame.shape[-2], frame.shape[-1]))

    def carry_labels(self, state: VideoState, path: Flows, labels: Tensor) -> Tensor:
        """Carry the labels ``[B,H,W]`` of the last keyframe likewise, mostly without its answer."""
        assert state.answer is not None
        size = (state.frame.shape[-2], state.frame.shape[-1])
        whole = {size} == {*self.preprocess.grid(size), tuple(state.answer.shape[-2:])}
        at_pixels = self.answer_grid in (None, Grid()) and output_grid(self.base) is None
        if whole and at_pixels and type(self.task) is Task:
            return labels_along(state.answer, labels, path.backward)
        return self.labels(self.carry(state, path)).to(labels.dtype)

    def labels(self, logits: Tensor) -> Tensor:
        """What :meth:`step`'s result says at each pixel: the class ``[B,H,W]``, or what else the task has."""
        return self.task.labels(logits)

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
        clip = as_clip(frames, flows, forward_flows, self._device())
        logits = self._unroll(*clip, checkpoint=checkpoint, every=every, detach=detach)
        return logits if every else logits[-1]

    def _unroll(
        self,
        frames: Sequence[Tensor],
        flows: Sequence[Tensor | None],
        forward_flows: Sequence[Tensor | None],
        *,
        checkpoint: bool = False,
        every: bool = False,
        detach: bool = False,
    ) -> list[Tensor]:
        results: list[Tensor] = []
        state: VideoState | None = None
        last = len(frames) - 1
        first = 0  # of those that the results depend on
        if not every and (not self.layers or (self.memory == "previous" and len(self.layers) == 1)):
            first = max(last - len(self.layers), 0)
        for index in range(first, len(frames)):
            frame, wanted = frames[index], every or index == last
            flow = None
            if state is not None and self.layers:
                flow = self.flows_between(frame, state.frame, flows[index - 1], forward_flows[index - 1])
            step = partial(self.advance, state=state, motion=flow, need_logits=wanted)
            with torch.set_grad_enabled(torch.is_grad_enabled() and (wanted or not detach)):
                # The last frame is first in the backward pass: to compute it again there would save nothing.
                logits, state = recomputed(step, frame, self.base) if checkpoint and index < last else step(frame)
            if detach:
                state = state.detached()
            if logits is not None:
                results.append(logits)
        return results

    def advance(
        self,
        frame: Tensor,
        state: VideoState | None,
        motion: Flows | Motion | None,
        *,
        need_logits: bool = True,
        finish: Finish | None = None,
    ) -> tuple[Tensor | None, VideoState]:
        """Run the network on a frame, combine its layers with the state, and keep them for the next frame.

        Without logits the pass ends at the last layer that is kept. ``finish`` brings the network's result to the
        frame's size, by default as logits.
        """
        if state is not None and isinstance(motion, tuple):
            motion = self.motion_between(frame, state.frame, motion)
        kept: dict[str, Tensor] = {}

        def combine(name: str, current: Tensor) -> Tensor:
            combined = current
            if state is not None and isinstance(motion, Motion):
                combined = self._combine(name, current, state, motion)
            # A clone, since a network may go on to change its representation in place.
            kept[name] = (current if self.memory == "previous" else combined).clone()
            if not need_logits and len(kept) == len(self.layers):
                raise StopPass
            return combined

        assert self.hooks is not None  # else the frame would not have passed the check
        answer: Tensor | None = None
        with self.hooks.intercept(combine):
            output = run(self.base, network_input(self.base, self.preprocess, frame))
            answer = self._at_output(self.task.read(logits_of(output)), combine)
        for name in self.layers:
            if name not in kept:
                raise ConfigurationError(
                    f"layer {name!r} did not run on this frame: a NetWarp needs a layer that runs on every one"
                )
        logits: Tensor | None = None
        if answer is not None:
            size = (frame.shape[-2], frame.shape[-1])
            logits = (finish or self._at_frame_size)(answer, size)
        return logits, VideoState(frame, tuple(kept[name] for name in self.layers), answer)

    def _combine(self, name: str, current: Tensor, state: VideoState, motion: Motion) -> Tensor:
        """Combine a layer's representation ``[B,C,h,w]`` with the state's, warped (paper, Eq. 1–3)."""
        place = self.layers.index(name)
        previous = state.memory[place]
        if previous.shape != current.shape:
            raise InputError(
                f"layer {name!r} gives {list(current.shape)} now and gave {list(previous.shape)} for the "
                "previous frame: a NetWarp needs a layer whose size depends on the frame's size alone"
            )
        size = (current.shape[-2], current.shape[-1])
        flow, confidence = motion.at(self.grids[place], size, self.margins[place])
        gate = as_gate(self.gate)
        if confidence is not None and gate is not None:
            confidence = gate.at_layer(confidence, current, previous, flow)
        combined: Tensor = self.netwarps[place](current, previous, flow, confidence)
        return combined

    def _at_output(self, logits: Tensor, combine: Callable[[str, Tensor], Tensor]) -> Tensor:
        """Combine the network's output ``[B,classes,h,w]``, where it is a layer, as logits or log-probabilities.

        What is no class among others has no normaliser: its memory is of logits, or values, under both names.
        """
        if "output" in self.layers:
            return combine("output", logits)
        if "log_probs" not in self.layers:
            return logits
        dtype = torch.promote_types(torch.float32, logits.dtype)
        # Weights that are the same for all classes: log-softmax would only add a constant to a pixel's logits.
        uniform_weights = self.training_free and not any(w.requires_grad for w in self.netwarps.parameters())
        if uniform_weights or not self.task.normalised:
            return combine("log_probs", logits.to(dtype)).to(logits.dtype)
        current = F.log_softmax(logits, dim=1, dtype=dtype)
        # Adding the change keeps the logits of a fresh model bitwise, where log-probabilities would round anew.
        return logits + (combine("log_probs", current) - current).to(logits.dtype)

    def _labels_at(self, answer: Tensor, size: tuple[int, int]) -> Tensor:
        """Labels at the frame's size; of many classes few are brought there at a time, and those alone that can win."""
        fits = answer.shape[1] * size[0] * size[1] <= AT_ONCE or answer[:, :1].numel() == 0
        whole = not self.task.normalised or self.task.squashed or output_grid(self.base) is not None
        if fits or whole:
            return self.labels(self._at_frame_size(answer, size))
        best: Tensor | None = None
        labels = torch.empty(0)
        for numbers in torch.split(contenders(answer), max(1, AT_ONCE // (size[0] * size[1]))):
            value, place = self._at_frame_size(answer[:, numbers], size).max(1)
            found = numbers[place]
            if best is None:
                best, labels = value, found
            else:
                labels = torch.where(value > best, found, labels)  # of equal ones the first
                best = torch.maximum(value, best)
        return labels

    def _at_frame_size(self, answer: Tensor, size: tuple[int, int]) -> Tensor:
        return to_frame_size(answer, *self.preprocess.grid(size), size, output_grid(self.base), self.task)
