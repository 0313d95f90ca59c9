"""Frames as they are handed in, checked and brought to tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from netwarp.errors import InputError

__all__ = ["as_clip", "as_flows", "as_frames", "check_flow", "to_unit_range"]


def as_frames(frame: Tensor | np.ndarray, device: torch.device) -> Tensor:
    """Check a frame and bring it to a device."""
    if isinstance(frame, np.ndarray):
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise InputError(f"a numpy frame must be RGB uint8 [H,W,3], got {frame.dtype} {list(frame.shape)}")
        # A copy whatever the layout: cameras and decoders fill one array again and again.
        tensor = torch.from_numpy(np.array(frame.transpose(2, 0, 1), order="C")).unsqueeze(0)
    elif isinstance(frame, Tensor):
        tensor = frame
    else:
        raise InputError(f"a frame must be a tensor or a numpy array, not {type(frame).__name__}")
    if tensor.ndim != 4 or tensor.shape[1] != 3:
        raise InputError(f"a frame must be RGB [B,3,H,W], got {list(tensor.shape)}")
    if tensor.numel() == 0:
        raise InputError(f"a frame of {list(tensor.shape)} is empty")
    if tensor.is_floating_point():
        # Written so that NaN fails too. The slack is for frames that were resampled with overshoot.
        if not bool(((tensor >= -0.5) & (tensor <= 1.5)).all()):
            raise InputError("a floating-point frame must hold RGB in 0–1: divide by 255 (and check for NaN)")
    elif tensor.dtype != torch.uint8:
        raise InputError(f"a frame must be uint8 (0–255) or floating point (0–1), not {tensor.dtype}")
    return tensor.to(device)


def as_clip(frames: Tensor, device: torch.device) -> tuple[Tensor, ...]:
    """Check the frames of a clip and bring them to a device."""
    if not isinstance(frames, Tensor):
        raise InputError(f"a clip must be a tensor of frames [B,T,3,H,W], not {type(frames).__name__}")
    if frames.ndim != 5 or frames.shape[2] != 3 or frames.numel() == 0:
        raise InputError(f"a clip must be RGB [B,T,3,H,W], oldest frame first, got {list(frames.shape)}")
    # All at once: a look at values is a wait for the GPU.
    return as_frames(frames.flatten(0, 1), device).reshape(frames.shape).unbind(1)


def as_flows(flows: Tensor | None, clip: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    """The flows of a clip one by one; None for each where there are none."""
    if flows is None:
        return (None,) * (len(clip) - 1)
    batch, _, height, width = clip[0].shape
    expected = [batch, len(clip) - 1, 2, height, width]
    if not isinstance(flows, Tensor) or list(flows.shape) != expected:
        got = list(flows.shape) if isinstance(flows, Tensor) else type(flows).__name__
        raise InputError(f"flows of this clip must be {expected}, one for each two neighbouring frames, not {got}")
    return flows.unbind(1)


def to_unit_range(frame: Tensor) -> Tensor:
    """A frame as float32 in 0–1 (float64 if it was)."""
    if frame.dtype == torch.uint8:
        return frame.float().div_(255)  # in place: new memory costs more than the division
    return frame.to(torch.promote_types(torch.float32, frame.dtype))


def check_flow(flow: Tensor, frame: Tensor) -> Tensor:
    """Refuse a flow that does not belong to a frame or that would spoil all that it warps."""
    expected = [frame.shape[0], 2, *frame.shape[-2:]]
    if not isinstance(flow, Tensor):
        raise InputError(f"flow must be a floating point tensor {expected}, not {type(flow).__name__}")
    if list(flow.shape) != expected or not flow.is_floating_point():
        raise InputError(f"flow must be floating point {expected} for this frame, got {flow.dtype} {list(flow.shape)}")
    if not bool(torch.isfinite(flow).all()):
        raise InputError("the flow holds NaN or infinite values: check where it comes from")
    return flow.to(frame.device, torch.promote_types(torch.float32, flow.dtype))
