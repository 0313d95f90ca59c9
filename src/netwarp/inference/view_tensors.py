"""Two frames and the flow between them, brought to a scale, padded, cut into views and mirrored together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from netwarp.inference.views import Tiling, View
from netwarp.model import Preprocess
from netwarp.model.gates import resize_confidence
from netwarp.model.inputs import to_unit_range
from netwarp.model.netwarp import Flows
from netwarp.ops import resize_flow


@dataclass(frozen=True, eq=False)
class ViewTensors:
    """Two frames and the flows between them, all on one grid."""

    present: Tensor  # [B,3,H,W], the current frame, uint8 or floating point in 0-1
    past: Tensor | None  # [B,3,H,W], the frame before it
    flows: Flows | None  # between the two

    def at_scale(self, tiling: Tiling, preprocess: Preprocess) -> ViewTensors:
        """Bring all to the size of a scale, padded where its windows are larger.

        Frames are resized as preprocessing does it (bilinear with antialiasing), the flow's values along with its size.
        At the bottom and right frames are padded with the network's mean colour, and flow as it is at the edge.
        """
        return self._each(
            lambda frame: _padded(_resized(frame, tiling.size), tiling.padded, preprocess),
            lambda flow: _extended(resize_flow(flow, tiling.size), tiling.padded),
            lambda trust: _extended(resize_confidence(trust, tiling.size), tiling.padded),
        )

    def cut(self, views: Sequence[View], window: tuple[int, int]) -> ViewTensors:
        """Cut all into views: ``[views·B,…]``, the whole batch for each view after another."""

        def cut(picture: Tensor) -> Tensor:
            return _cut(picture, views, window, lambda piece: piece.flip(-1))

        return self._each(cut, lambda flow: _cut(flow, views, window, mirror_flow), cut)

    def _each(
        self,
        of_frame: Callable[[Tensor], Tensor],
        of_flow: Callable[[Tensor], Tensor],
        of_trust: Callable[[Tensor], Tensor],
    ) -> ViewTensors:
        if self.past is None or self.flows is None:
            return ViewTensors(of_frame(self.present), None, None)
        backward, forward, trust = self.flows
        flows = Flows(
            of_flow(backward),
            None if forward is None else of_flow(forward),
            None if trust is None else of_trust(trust),
        )
        return ViewTensors(of_frame(self.present), of_frame(self.past), flows)


def mirror_flow(flow: Tensor) -> Tensor:
    """Mirror a flow ``[B,2,H,W]`` left to right: the map is mirrored and u changes its sign.

    >>> mirror_flow(torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])).squeeze(2).tolist()
    [[[-2.0, -1.0], [4.0, 3.0]]]
    """
    return flow.flip(-1) * flow.new_tensor((-1.0, 1.0)).view(2, 1, 1)


def _resized(frame: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(frame.shape[-2:]) == size:
        return frame
    return F.interpolate(to_unit_range(frame), size=size, mode="bilinear", align_corners=False, antialias=True)


def _padded(frame: Tensor, size: tuple[int, int], preprocess: Preprocess) -> Tensor:
    h, w = frame.shape[-2:]
    if (h, w) == size:
        return frame
    frame = to_unit_range(frame)
    mean = frame.new_tensor(preprocess.mean).view(3, 1, 1) / preprocess.scale
    padded = (mean.flip(0) if preprocess.order == "bgr" else mean).repeat(frame.shape[0], 1, *size)
    padded[..., :h, :w] = frame
    return padded


def _extended(flow: Tensor, size: tuple[int, int]) -> Tensor:
    below, right = size[0] - flow.shape[-2], size[1] - flow.shape[-1]
    return F.pad(flow, (0, right, 0, below), mode="replicate") if below or right else flow


def _cut(picture: Tensor, views: Sequence[View], window: tuple[int, int], mirror: Callable[[Tensor], Tensor]) -> Tensor:
    h, w = window
    pieces = [picture[..., view.top : view.top + h, view.left : view.left + w] for view in views]
    pieces = [mirror(piece) if view.mirrored else piece for piece, view in zip(pieces, views, strict=True)]
    return torch.cat(pieces) if len(pieces) > 1 else pieces[0]
