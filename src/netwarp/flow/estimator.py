"""The protocol of flow estimators, and the checks of frames that they share."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from netwarp.errors import ConfigurationError, InputError


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
