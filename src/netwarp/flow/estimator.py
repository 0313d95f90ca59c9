"""The protocol of flow estimators, their checks of frames, and those that need no files: zero flow and DIS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from netwarp.errors import ConfigurationError, InputError, unknown_name
from netwarp.flow.filling import filled
from netwarp.ops.warp import resize_flow

if TYPE_CHECKING:
    from numpy.typing import NDArray


@runtime_checkable
class FlowEstimator(Protocol):
    """Estimates optical flow: where each pixel of the current frame was in the previous one.

    An estimator that can be named in text also has ``spec``, a string that
    :func:`netwarp.flow.make_flow` turns into an equal estimator; a saved model keeps it. One that works on the CPU
    wherever the frames are may say so with ``on_cpu = True``: a stream then hands it frames that are there.
    """

    def __call__(self, current: Tensor, previous: Tensor, index: int | None = None) -> Tensor:
        """Estimate backward flow.

        Args:
            current: Frame t, ``[B,3,H,W]`` RGB, uint8 (0–255) or floating point (0–1), on any device.
            previous: Frame t−1, of the same shape, dtype and device.
            index: Number of the current frame in its video, from 0; only needed by estimators that
                look flow up instead of computing it.

        Returns:
            float32 ``[B,2,H,W]`` on the frames' device, without gradient, in pixels of this grid; channel 0
            is u (right), channel 1 is v (down). A point (x, y) of ``current`` lies at (x+u, y+v) in ``previous``.

        Raises:
            InputError: The frames are not a pair of RGB frames of one size, or hold impossible values.
        """


def check_frames(current: Tensor, previous: Tensor) -> None:
    """Refuse anything but two batches of RGB frames ``[B,3,H,W]`` of one shape, dtype and device."""
    for name, frame in (("current", current), ("previous", previous)):
        if frame.ndim != 4 or frame.shape[1] != 3 or 0 in frame.shape:
            raise InputError(f"flow needs RGB frames [B,3,H,W], but the {name} frame is {list(frame.shape)}")
        if frame.dtype != torch.uint8 and not frame.dtype.is_floating_point:
            raise InputError(
                f"flow needs frames of uint8 (0–255) or floating point (0–1), but the {name} one is {frame.dtype}"
            )
    if current.shape != previous.shape:
        raise InputError(
            f"flow needs two frames of one size, got {list(current.shape)} and {list(previous.shape)}: "
            "start anew without a previous frame where the size changes"
        )
    if current.dtype != previous.dtype or current.device != previous.device:
        raise InputError(
            f"flow needs two frames of one dtype and device, got {current.dtype} on {current.device} "
            f"and {previous.dtype} on {previous.device}"
        )


def check_scale(scale: float) -> None:
    """Refuse a fraction of the frame's size that is not in (0, 1]."""
    if not 0 < scale <= 1:
        raise ConfigurationError(f"flow's size fraction must be above 0 and at most 1, not {scale:g}")


def frames_to_bytes(frame: Tensor) -> Tensor:
    """Bring checked frames, uint8 or floating point in 0–1, to uint8 (0–255); uint8 frames stay themselves."""
    if frame.dtype == torch.uint8:
        return frame
    _check_range(frame)
    return frame.detach().float().mul(255).round_().clamp_(0, 255).to(torch.uint8)


def frames_to_float(frame: Tensor) -> Tensor:
    """Bring checked frames, uint8 or floating point in 0–1, to float32 (0–1) without gradient."""
    if frame.dtype == torch.uint8:
        return frame.float().div_(255)
    _check_range(frame)
    return frame.detach().float()


def _check_range(frame: Tensor) -> None:
    # Resampled frames overshoot 0–1 a little, which is harmless; 0–255 as float is the mistake to catch,
    # as all of it would become white, and flow silently zero. The comparison is false for NaN too.
    low, high = (float(v) for v in torch.aminmax(frame.detach()))
    if not (low >= -1 and high <= 2):
        raise InputError(
            f"floating-point frames must be in 0–1, but these hold {low:g} to {high:g}: "
            "pass uint8 frames, or divide by 255"
        )


class ZeroFlow:
    """Flow of a scene where nothing moves: the previous frame is combined where it lies."""

    spec = "zero"

    def __call__(self, current: Tensor, previous: Tensor, index: int | None = None) -> Tensor:
        """Return zero flow; see :class:`netwarp.flow.FlowEstimator`."""
        check_frames(current, previous)
        b, _, h, w = current.shape
        return torch.zeros(b, 2, h, w, dtype=torch.float32, device=current.device)

    def __repr__(self) -> str:
        return "ZeroFlow()"


# Each preset by OpenCV's that it begins with, its finest level, at 1/2^level of the frame's size (the authors' depends
# on its width), and what else sets it apart. Half the frame's size is what labels need of a flow; the patches' overlap
# and the refinement, which are most of "medium"'s time, hardly show in them ('python benchmarks/dis_settings.py').
DIS_PRESETS: dict[str, tuple[str, int | None, dict[str, float]]] = {
    "authors": (
        "fast",
        None,
        {"GradientDescentIterations": 12, "VariationalRefinementAlpha": 10.0, "UseSpatialPropagation": False},
    ),
    "ultrafast": ("ultrafast", 2, {}),
    "fast": ("fast", 2, {}),
    "light": ("ultrafast", 1, {"PatchStride": 5, "GradientDescentIterations": 16}),
    "medium": ("medium", 1, {}),
    "accurate": ("medium", 1, {"PatchSize": 12}),
}


class DISFlow:
    """Dense Inverse Search flow (Kroeger, Timofte, Dai, Van Gool, ECCV 2016) on the CPU, by OpenCV.

    The flow of the paper's experiments (section 4). Safe to call from several threads; results repeat exactly. Frames
    of every size are taken: those too small for OpenCV are padded with their edge pixels. ``"authors"`` is what the
    paper's authors ran as far as OpenCV has it: the method's operating point 2 (patches of 8, overlap 0.4, 12
    iterations, refinement) up to level ⌊log2(2·width/40)⌋ − 2, 1/8 of the frame's size at a width of 640 and 1/16 at
    2048. Where it matches all three colours, OpenCV takes one channel: their mean. ``"accurate"`` is ours, and slow:
    larger patches, both ways on blurred frames; filled where those disagree; refined on the frames as they are.

    >>> DISFlow("fast", scale=0.5).spec
    'dis:fast@0.5'
    """

    on_cpu = True

    def __init__(self, preset: str = "light", scale: float = 1.0) -> None:
        if preset not in DIS_PRESETS:
            raise unknown_name("DIS preset", preset, DIS_PRESETS)
        check_scale(scale)
        self.preset = preset
        self.scale = scale

    @property
    def spec(self) -> str:
        return f"dis:{self.preset}" + (f"@{self.scale!r}" if self.scale != 1 else "")

    def __call__(self, current: Tensor, previous: Tensor, index: int | None = None) -> Tensor:
        """Estimate backward flow; see :class:`netwarp.flow.FlowEstimator`."""
        check_frames(current, previous)
        size = (current.shape[-2], current.shape[-1])
        pairs = zip(self._gray(current), self._gray(previous), strict=True)
        flow = torch.from_numpy(np.stack([self._between(now, before) for now, before in pairs]))
        flow = flow.permute(0, 3, 1, 2).contiguous()  # at once: torch resizes such a stride 5 times slower
        if flow.shape[-2:] != size:
            flow = resize_flow(flow, size)
        return flow.to(current.device)

    def __repr__(self) -> str:
        return f"DISFlow({self.preset!r}, scale={self.scale!r})"

    def _gray(self, frames: Tensor) -> list[NDArray[np.uint8]]:
        import cv2

        planes = frames_to_bytes(frames).contiguous().cpu().numpy()
        mean = np.full((1, 3), 1 / 3)
        gray = [
            cv2.transform(picture, mean) if self.preset == "authors" else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
            for picture in (cv2.merge(list(rgb)) for rgb in planes)
        ]
        if self.scale == 1:
            return gray
        h, w = (max(1, round(side * self.scale)) for side in planes.shape[2:])
        return [cv2.resize(picture, (w, h), interpolation=cv2.INTER_AREA) for picture in gray]

    def _between(self, current: NDArray[np.uint8], previous: NDArray[np.uint8]) -> NDArray[np.float32]:
        import cv2

        if self.preset != "accurate":
            return self._estimate(current, previous)
        now, before = (cv2.GaussianBlur(picture, (0, 0), 1.7) for picture in (current, previous))
        flow = filled(self._estimate(now, before), self._estimate(before, now))
        refinement = cv2.VariationalRefinement.create()
        refinement.setFixedPointIterations(10)
        return np.asarray(refinement.calc(current, previous, flow), dtype=np.float32)

    def _estimate(self, current: NDArray[np.uint8], previous: NDArray[np.uint8]) -> NDArray[np.float32]:
        import cv2

        # A fresh object for every pair: OpenCV's keeps buffers, and on small frames changes its own settings,
        # so a shared one is neither thread-safe nor forgetful.
        known, level, settings = DIS_PRESETS[self.preset]
        estimator = cv2.DISOpticalFlow.create(getattr(cv2, f"DISOPTICAL_FLOW_PRESET_{known.upper()}"))
        h, w = current.shape
        level = max((w // 20).bit_length() - 3, 0) if level is None else level
        for name, value in {**settings, "FinestScale": level}.items():
            getattr(estimator, f"set{name}")(value)
        # On a pyramid with levels smaller than a patch OpenCV raises, returns NaN or, on wide and low images
        # (12×300), takes the whole process down.
        smallest = max(int(settings.get("PatchSize", 8)) << level, 16)
        below, right = max(0, smallest - h), max(0, smallest - w)
        if below or right:
            current, previous = (
                cv2.copyMakeBorder(f, 0, below, 0, right, cv2.BORDER_REPLICATE) for f in (current, previous)
            )
        flow = estimator.calc(current, previous, None)
        return np.asarray(flow[:h, :w], dtype=np.float32)
