"""Dense inverse search: the paper's fast flow, through OpenCV."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from netwarp.errors import unknown_name
from netwarp.flow.estimator import check_frames, check_scale, frames_to_bytes
from netwarp.ops.warp import resize_flow

if TYPE_CHECKING:
    from numpy.typing import NDArray

PRESETS = ("ultrafast", "fast", "light", "medium")

# What sets "light" apart from OpenCV's "ultrafast". Half the frame's size (finest level 1) is what labels need of a
# flow; the patches' overlap and the refinement, which are most of "medium"'s time, hardly show in them
# ('python benchmarks/dis_settings.py').
LIGHT = {"FinestScale": 1, "PatchStride": 5, "GradientDescentIterations": 16}

# The side below which OpenCV's pyramid has levels smaller than a patch: patch size (8) times two to the
# power of the finest level (2, 2, 1, 1). Below it OpenCV raises, returns NaN or, on wide and low images
# (12×300), takes the whole process down.
SMALLEST_SIDE = {"ultrafast": 32, "fast": 32, "light": 16, "medium": 16}


class DISFlow:
    """Dense Inverse Search flow (Kroeger, Timofte, Dai, Van Gool, ECCV 2016) on the CPU, by OpenCV.

    The flow of the paper's experiments (section 4). Safe to call from several threads; results repeat exactly. Frames
    of every size are taken: those too small for OpenCV are padded with their edge pixels.

    >>> DISFlow("fast", scale=0.5).spec
    'dis:fast@0.5'
    """

    on_cpu = True

    def __init__(self, preset: str = "light", scale: float = 1.0) -> None:
        if preset not in PRESETS:
            raise unknown_name("DIS preset", preset, PRESETS)
        check_scale(scale)
        self.preset = preset
        self.scale = scale

    @property
    def spec(self) -> str:
        """The text that :func:`netwarp.flow.make_flow` turns into an equal estimator."""
        return f"dis:{self.preset}" + (f"@{self.scale!r}" if self.scale != 1 else "")

    def __call__(self, current: Tensor, previous: Tensor, index: int | None = None) -> Tensor:
        """Estimate backward flow; see :class:`netwarp.flow.FlowEstimator`."""
        check_frames(current, previous)
        size = (current.shape[-2], current.shape[-1])
        pairs = zip(self._gray(current), self._gray(previous), strict=True)
        flow = torch.from_numpy(np.stack([self._estimate(now, before) for now, before in pairs]))
        flow = flow.permute(0, 3, 1, 2).contiguous()  # at once: torch resizes such a stride 5 times slower
        if flow.shape[-2:] != size:
            flow = resize_flow(flow, size)
        return flow.to(current.device)

    def __repr__(self) -> str:
        return f"DISFlow({self.preset!r}, scale={self.scale!r})"

    def _gray(self, frames: Tensor) -> list[NDArray[np.uint8]]:
        import cv2

        planes = frames_to_bytes(frames).contiguous().cpu().numpy()
        gray = [cv2.cvtColor(cv2.merge(list(rgb)), cv2.COLOR_RGB2GRAY) for rgb in planes]
        if self.scale == 1:
            return gray
        h, w = (max(1, round(side * self.scale)) for side in planes.shape[2:])
        return [cv2.resize(picture, (w, h), interpolation=cv2.INTER_AREA) for picture in gray]

    def _estimate(self, current: NDArray[np.uint8], previous: NDArray[np.uint8]) -> NDArray[np.float32]:
        import cv2

        # A fresh object for every pair: OpenCV's keeps buffers, and on small frames changes its own settings,
        # so a shared one is neither thread-safe nor forgetful.
        known = "ultrafast" if self.preset == "light" else self.preset
        estimator = cv2.DISOpticalFlow.create(getattr(cv2, f"DISOPTICAL_FLOW_PRESET_{known.upper()}"))
        for name, value in LIGHT.items() if self.preset == "light" else ():
            getattr(estimator, f"set{name}")(value)
        h, w = current.shape
        smallest = SMALLEST_SIDE[self.preset]
        below, right = max(0, smallest - h), max(0, smallest - w)
        if below or right:
            current, previous = (
                cv2.copyMakeBorder(f, 0, below, 0, right, cv2.BORDER_REPLICATE) for f in (current, previous)
            )
        flow = estimator.calc(current, previous, None)
        return np.asarray(flow[:h, :w], dtype=np.float32)
