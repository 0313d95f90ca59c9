"""A video model in windows, at several scales, also mirrored: the protocol of the paper's PSPNet (section 4.2).

Every view (a window of a scale, as it is or mirrored) is a stream with its own memory, so that a frame costs one pass
of the network per view. The flow is estimated once a frame, between whole frames, and is scaled, cut and mirrored as
the frame is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from netwarp.errors import ConfigurationError, InputError
from netwarp.freed_memory import keep_freed_memory
from netwarp.inference.mean_of_views import MeanOfViews, mean_over_scales
from netwarp.inference.sliding_state import Memory, SlidingState
from netwarp.inference.view_tensors import ViewTensors
from netwarp.inference.views import Flip, Tiling, Views
from netwarp.model import VideoModel, VideoState
from netwarp.model.frame_motion import Frame
from netwarp.model.netwarp import Flows
from netwarp.ops import warp
from netwarp.ops.kernels import labels_along

IN_A_PASS: dict[str, tuple[int, int]] = {"cpu": (1 << 19, 4)}
IN_A_PASS_ELSEWHERE = (1 << 22, 32)
"""Views in one pass by the network's device: at most so many pixels together, and at most so many views. On a CPU
larger passes are not faster and take more memory."""


class Sliding:
    """A video model that runs on windows of a frame, at several scales, also mirrored.

    Probabilities of all views are averaged: in each scale where windows overlap, then over the scales, each brought
    back to the frame's size.

    Args:
        model: The video model; ``layers=[]`` is its network frame by frame, and has no memory.
        window: Side, or (height, width), of the windows; None for whole frames. A frame that is smaller is padded at
            the bottom and right with the network's mean colour, as PSPNet's own protocol does.
        stride: From window to window, in the same form; by default two thirds of the window, rounded up. The last
            window of a row or column is shifted back to end at the border.
        scales: Sizes ``round(scale · side) + 1`` that a frame is resized to (:func:`.scaled_size`), also for scale 1;
            None for the frame as it is.
        flip: Run every view mirrored too: ``"probabilities"`` (or True) averages those of the two, ``"logits"`` takes
            one softmax of the sum of their logits, as the release does.
        batch: Views in one pass of the network. None takes up to four small ones or one of 713×713; on a GPU up to 32,
            or eight of 713×713. It changes the result by rounding alone; fewer take less memory.

    Attributes:
        model: The video model, whose ``base``, ``layers``, ``flow``, ``classes`` and ``palette`` are here too.
        views: The views of each frame.
        batch: As given.

    Raises:
        ConfigurationError: A number is out of range, a stride has no window or leaves gaps, or the model's
            preprocessing resizes to another size.
    """

    def __init__(
        self,
        model: VideoModel,
        window: int | Sequence[int] | None = None,
        stride: int | Sequence[int] | None = None,
        scales: Sequence[float] | None = None,
        flip: Flip = False,
        *,
        batch: int | None = None,
    ) -> None:
        if not isinstance(model, VideoModel):
            raise ConfigurationError(
                f"windows need a VideoModel, not {type(model).__name__}: "
                "VideoModel(network, layers=[]) is a network frame by frame"
            )
        self.views = Views.of(window, stride, scales, flip)
        if batch is not None and (not isinstance(batch, int) or batch < 1):
            raise ConfigurationError(f"batch must be a whole number of windows, at least 1, not {batch!r}")
        size = model.preprocess.size
        if size is not None and (window is not None or scales is not None) and size != self.views.window:
            raise ConfigurationError(
                f"the preprocessing resizes every view to {size[1]}×{size[0]}, which is not the size of the windows: "
                "set model.preprocess to one without size"
            )
        self.model = model
        self.batch = batch
        self.base, self.layers, self.flow = model.base, model.layers, model.flow
        self.training_free = model.training_free
        self.classes, self.palette, self.task = model.classes, model.palette, model.task

    def over(self, model: VideoModel) -> Sliding:
        """The same views for another model."""
        views = self.views
        return Sliding(model, views.window, views.stride, views.scales, views.flip, batch=self.batch)

    def without_memory(self) -> Sliding:
        """The same views of the network frame by frame."""
        return self.over(self.model.without_memory())

    def eval(self) -> Sliding:
        self.model.eval()
        return self

    def estimate_flow(self, current: Frame, previous: Frame, index: int | None = None) -> Tensor:
        """The flow that :meth:`step` would use, between whole frames; see :meth:`VideoModel.estimate_flow`."""
        return self.model.estimate_flow(current, previous, index)

    def estimate_motion(
        self, current: Frame, previous: Frame, flow: Tensor | Flows | None = None, index: int | None = None
    ) -> Flows | None:
        """Estimate or check the flow for :meth:`step`; None without layers. FlowCNN and gate run in each view."""
        return self._flows_between(current, previous, flow, index) if self.layers else None

    def _flows_between(self, current: Frame, previous: Frame, flow: Tensor | Flows | None, index: int | None) -> Flows:
        model = self.model
        return model.flows_between(model.checked(current), model.checked(previous), flow, index=index)

    @torch.no_grad()
    def step(
        self,
        frame: Frame,
        state: SlidingState | None = None,
        flow: Tensor | Flows | None = None,
        *,
        index: int | None = None,
        keyframe: bool = True,
    ) -> tuple[Tensor, SlidingState]:
        """Segment the next frame of a stream: one pass of the network per view, without gradients, or none.

        Args:
            frame: RGB ``[B,3,H,W]``, uint8 or floating point in 0–1, or numpy ``[H,W,3]`` uint8.
            state: What the step before returned; this step uses it up. Without one, or with one for another size, the
                frame is a first one.
            flow: ``[B,2,H,W]`` from this frame to the state's, backward, pixels, if known, or what
                :meth:`estimate_motion` made of it; else it is estimated.
            index: Number of the frame in its video, from 0, for flow that is looked up (``precomputed:``).
            keyframe: Whether the network runs on this frame; see :meth:`VideoModel.step`.

        Returns:
            Probabilities ``[B,classes,H,W]``, float32 (float64 of a network that computes so), or a regression
            network's values, and the state for the next step.

        Raises:
            InputError: As :meth:`VideoModel.step`, or the state was used up before. It can still be used after that;
                where the step fails later (memory, Ctrl-C) the state is lost.
        """
        keep_freed_memory()
        model = self.model
        present = model.checked(frame)
        past = self._checked(state)
        # A clone, since cameras and decoders fill one tensor again and again.
        own = present.clone() if present is frame else present
        flows = None
        if past is not None and past.frame.shape == present.shape and (model.layers or not keyframe):
            before = past.frame if past.latest is None else past.latest
            flows = model.flows_to_keyframe(present, before, past.path, flow, index, keyframe=keyframe)
            if not keyframe:
                carried = self.carry_answer(past, flows)  # before the state is used up, since it may refuse
                after = SlidingState(past.frame, past.take(), past.shape, past.answer, latest=own, path=flows)
                return carried, after
        size = (present.shape[-2], present.shape[-1])
        tilings = self.views.tilings(size)
        whole = ViewTensors(present, None if past is None or flows is None else past.frame, flows)
        using: AbstractContextManager[Sequence[Memory]] = nullcontext(()) if past is None else past.used()
        with using as taken:
            memories: list[Memory | None] = [None] * len(tilings) if flows is None else [*taken]
            del taken  # the memories of another size: they must not lie beside the new ones
            result = mean_over_scales(self._scales(whole, tilings, memories), size)
        kept = [memory for memory in memories if memory is not None]
        return result, SlidingState(own, kept, self.shape, result)

    def trusted(self, current: Tensor, previous: Tensor, flows: Flows) -> Flows:
        return self.model.trusted(current, previous, flows)

    def flows_ahead(self, current: Tensor, previous: Tensor, flows: Flows) -> Flows:
        return self.model.flows_ahead(current, previous, flows)

    def carry_answer(self, state: SlidingState, path: Flows) -> Tensor:
        if state.answer is None:
            raise InputError("the state holds no answer to carry: run the network on this frame (keyframe=True)")
        return warp(state.answer, path.backward)

    def at_answer(self, flows: Flows, answer: Tensor) -> tuple[Tensor, Tensor | None]:
        """The flow and the trust as they are, since probabilities have the frame's size."""
        return flows.backward, flows.trust

    def enlarge(self, answer: Tensor, frame: Tensor) -> Tensor:
        return answer

    def carry_labels(self, state: SlidingState, path: Flows, labels: Tensor) -> Tensor:
        assert state.answer is not None  # which the labels are of
        if self.task.normalised:
            return labels_along(state.answer, labels, path.backward)
        return self.labels(self.carry_answer(state, path)).to(labels.dtype)

    def labels(self, result: Tensor) -> Tensor:
        """What :meth:`step`'s result says at each pixel; see :meth:`VideoModel.labels`."""
        return self.task.labels_of_probabilities(result)

    def _checked(self, state: SlidingState | None) -> SlidingState | None:
        if state is None:
            return None
        if not isinstance(state, SlidingState):
            raise InputError(f"state must be what the step before returned, or None, not {type(state).__name__}")
        state.look()
        if state.shape != self.shape:
            raise InputError(
                "the state comes from a model with other layers, windows or scales: start a stream with state=None"
            )
        return state

    @property
    def shape(self) -> tuple[object, ...]:
        """The views and each layer's channels, which a state must have been made with."""
        return self.views, tuple(netwarp.channels for netwarp in self.model.netwarps)

    def _scales(self, whole: ViewTensors, tilings: Sequence[Tiling], memories: list[Memory | None]) -> Iterator[Tensor]:
        """The probabilities of each scale; its memory (None at first) is replaced in the list."""
        for number, tiling in enumerate(tilings):
            seen = whole.at_scale(tiling, self.model.preprocess)
            probabilities, memories[number] = self._at_scale(seen, tiling, memories[number])
            yield probabilities

    def _at_scale(self, seen: ViewTensors, tiling: Tiling, memory: Memory | None) -> tuple[Tensor, Memory]:
        """Average the probabilities of a scale's views, and write its memory over, in the same tensors."""
        views = tiling.views(self.views.flip)
        videos = seen.present.shape[0]
        batch = self.batch or _views_in_a_pass(tiling.window, seen.present.device)
        mean = MeanOfViews(tiling, self.views.flip, self.task)
        for first in range(0, len(views), batch):
            shown = views[first : first + batch]
            part = slice(first * videos, (first + len(shown)) * videos)
            pictures = seen.cut(shown, tiling.window)
            past = None
            if pictures.past is not None and memory is not None:
                past = VideoState(pictures.past, tuple(kept[part] for kept in memory))
            logits, left = self.model.advance(pictures.present, past, pictures.flows)
            if memory is None:
                # At once for all views: many large blocks between smaller ones would leave gaps in the heap.
                memory = tuple(_room(kept, len(views) * videos) for kept in left.memory)
            for kept, new in zip(memory, left.memory, strict=True):
                kept[part] = new
            assert logits is not None
            for view, each in zip(shown, logits.chunk(len(shown)), strict=True):
                mean.add(view, each)
        assert memory is not None
        return mean.result(), memory


StreamModel = VideoModel | Sliding
"""What segments a stream: a video model, or one in windows."""


def _views_in_a_pass(window: tuple[int, int], device: torch.device) -> int:
    pixels, most = IN_A_PASS.get(device.type, IN_A_PASS_ELSEWHERE)
    return max(1, min(most, pixels // (window[0] * window[1])))


def _room(like: Tensor, batch: int) -> Tensor:
    """Allocate a batch of such representations, in their memory format."""
    last = not like.is_contiguous() and like.is_contiguous(memory_format=torch.channels_last)
    memory_format = torch.channels_last if last else torch.contiguous_format
    return torch.empty((batch, *like.shape[1:]), dtype=like.dtype, device=like.device, memory_format=memory_format)
