"""The interface of a model that segments a stream: a video model's, and that of one in windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from netwarp.flow import FlowSource
from netwarp.model.netwarp import Flows
from netwarp.model.task import Task
from netwarp.ops.warp import Interpolation


class StreamModel(Protocol):
    """A :class:`netwarp.VideoModel`, or a :class:`netwarp.Sliding` around one."""

    @property
    def base(self) -> nn.Module:
        """The network."""

    @property
    def layers(self) -> Sequence[str]:
        """Where its memory is; without any it segments frame by frame, and needs no flow."""

    @property
    def flow(self) -> FlowSource:
        """The estimator of its flow, or the name of the clips' own."""

    @property
    def interpolation(self) -> Interpolation:
        """How it samples what it remembers."""

    @property
    def training_free(self) -> bool:
        """Whether its memory has fixed weights."""

    def step(
        self,
        frame: Tensor,
        state: Any = None,  # noqa: ANN401 - each model has its own
        flow: Any = None,  # noqa: ANN401 - a tensor, or what estimate_motion returned
        *,
        index: int | None = None,
        keyframe: bool = True,
    ) -> tuple[Tensor, Any]:
        """Segment the next frame, without the network where it is no keyframe."""

    @property
    def task(self) -> Task:
        """What the network's output is."""

    def labels(self, result: Tensor) -> Tensor:
        """What a result of :meth:`step` says at each pixel."""

    def trusted(self, current: Tensor, previous: Tensor, flows: Flows) -> Flows:
        """Add the gate's confidence in the flows between two frames, where there is a gate."""

    def flows_ahead(self, current: Tensor, previous: Tensor, flows: Flows) -> Flows:
        """Flow from the previous frame to the current one, and the trust in it; ``flows`` are those back."""

    def carry_answer(self, state: Any, path: Flows) -> Tensor:  # noqa: ANN401
        """Carry the answer of the state's keyframe, at its own size, along the flow to it."""

    def at_answer(self, flows: Flows, answer: Tensor) -> tuple[Tensor, Tensor | None]:
        """Bring flow and trust of a frame to the places of its answer."""

    def enlarge(self, answer: Tensor, frame: Tensor) -> Tensor:
        """Bring an answer to a frame's size."""

    def estimate_motion(
        self,
        current: Tensor,
        previous: Tensor,
        flow: Any = None,  # noqa: ANN401 - a tensor, or Flows that were checked
        index: int | None = None,
    ) -> Any:  # noqa: ANN401
        """Do the part of :meth:`step` that needs no network, which takes the result in place of flow.

        A thread may do it for the next frame while another runs the network.
        """

    def carry_labels(self, state: Any, path: Flows, labels: Tensor) -> Tensor:  # noqa: ANN401
        """Carry the labels ``[1,H,W]`` of the state's keyframe likewise."""

    def eval(self) -> Any:  # noqa: ANN401
        """Set evaluation mode."""
