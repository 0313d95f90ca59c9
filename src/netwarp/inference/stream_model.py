"""What the engine needs of a model that segments a stream: a video model has it, and so has one in windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from netwarp.flow import FlowEstimator

__all__ = ["StreamModel"]


class StreamModel(Protocol):
    """A :class:`netwarp.VideoModel`, or a :class:`netwarp.inference.sliding.Sliding` around one."""

    @property
    def base(self) -> nn.Module:
        """The network."""

    @property
    def layers(self) -> Sequence[str]:
        """Where its memory is; without any it segments frame by frame, and needs no flow."""

    @property
    def flow(self) -> FlowEstimator:
        """What estimates flow for it."""

    @property
    def palette(self) -> Sequence[tuple[int, int, int]]:
        """RGB colours (0–255) of its classes."""

    def step(
        self,
        frame: Tensor,
        state: Any = None,  # noqa: ANN401 - each has a state of its own
        flow: Any = None,  # noqa: ANN401 - likewise
        *,
        index: int | None = None,
    ) -> tuple[Tensor, Any]:
        """Segment the next frame."""

    def estimate_flow(self, current: Tensor, previous: Tensor, index: int | None = None) -> Tensor:
        """The flow that :meth:`step` would use, ``[B,2,H,W]``, backward, pixels."""

    def estimate_motion(
        self, current: Tensor, previous: Tensor, flow: Tensor | None = None, index: int | None = None
    ) -> Any:  # noqa: ANN401 - each makes another use of it
        """As much of :meth:`step` as does not need the network, which takes it in place of flow.

        A thread may do it for the next frame while another runs the network.
        """

    def eval(self) -> Any:  # noqa: ANN401 - itself, as torch has it
        """Go to evaluation mode."""
