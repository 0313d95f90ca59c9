"""A dense CRF over a network's output, of one frame or of several along flow: what the paper compares NetWarp with.

That of several stands in for FSO-CRF (Kundu, Vineet and Koltun, CVPR 2016), which learns where in space each pixel of a
video lies for its CRF: here the flow says it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from netwarp.flow.estimator import frames_to_bytes
from netwarp.model import VideoModel
from netwarp.model.frame_motion import Frame
from netwarp.ops.warp import warp

if TYPE_CHECKING:
    from numpy.typing import NDArray

ITERATIONS = 5
# Chosen with ESPNet on ten frames of the first half of CamVid's val split. With deviations of 60 pixels and more,
# as are usual for objects, poles and people vanish.
WEIGHTS = (1.0, 4.0)
"""Of the two kernels: that of places, and that of places and colours."""
NEAR, FAR, ALIKE = 1.0, 10.0, 5.0
"""Deviations: of either's places, in pixels, and of red, green and blue, in levels (0–255)."""


def dense_crf(
    log_probs: Tensor, frames: Tensor, flows: Sequence[Tensor] = (), weights: tuple[float, float] = WEIGHTS
) -> Tensor:
    """Probabilities ``[C,H,W]`` of the last of a few frames, which have their pixels in one CRF.

    A pixel lies where, in the oldest frame, the flows ``[1,2,H,W]`` lead from it. ``log_probs`` are ``[T,C,H,W]``, the
    oldest first, ``frames`` ``[T,3,H,W]`` uint8.
    """
    from pydensecrf.densecrf import DenseCRF as Solver

    count, classes, height, width = log_probs.shape
    ways = [log_probs.new_zeros(1, 2, height, width)]
    for flow in flows:
        ways.append(flow + warp(ways[-1], flow))
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = _points(torch.cat(ways).cpu() + torch.stack((columns, rows)))
    solver = Solver(count * height * width, classes)
    solver.setUnaryEnergy(_points(-log_probs))
    solver.addPairwiseEnergy(places / NEAR, compat=weights[0])
    solver.addPairwiseEnergy(np.concatenate([places / FAR, _points(frames) / ALIKE]), compat=weights[1])
    found = np.asarray(solver.inference(ITERATIONS)).reshape(classes, count, height, width)
    return torch.from_numpy(found[:, -1].copy()).to(log_probs.device)


def _points(maps: Tensor) -> NDArray[np.float32]:
    """``[T,C,H,W]`` as the solver wants it, ``[C,T·H·W]``."""
    return np.ascontiguousarray(maps.transpose(0, 1).flatten(1).cpu().numpy(), dtype=np.float32)


class DenseCRFModel(VideoModel):
    """A network frame by frame, with a dense CRF over each frame and as many before it as make ``frames`` in all."""

    def __init__(self, base: nn.Module, frames: int, flow: str) -> None:
        super().__init__(base, [], flow)
        self.frames = frames

    def step(
        self,
        frame: Frame,
        state: Any = None,  # noqa: ANN401
        flow: Any = None,  # noqa: ANN401
        *,
        index: int | None = None,
        keyframe: bool = True,
        as_labels: bool = False,
    ) -> tuple[Tensor, Any]:
        """Segment the next frame: probabilities, and log-probabilities, frames and flows for the next step."""
        present = self.checked(frame)
        log_probs, frames, flows = state or ((), (), ())
        if frames and self.frames > 1:
            assert not isinstance(self.flow, str)
            flows = (*flows, self.flow(present, frames[-1]) if flow is None else flow)[1 - self.frames :]
        log_probs = (*log_probs, super().step(present)[0].log_softmax(1))[-self.frames :]
        frames = (*frames, present)[-self.frames :]
        found = dense_crf(torch.cat(log_probs), frames_to_bytes(torch.cat(frames)), flows)
        return self.labels(found[None]) if as_labels else found[None], (log_probs, frames, flows)
