"""Input of a network: frames and flow checked and brought to its device, frames preprocessed."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netwarp.errors import ConfigurationError, InputError

log = logging.getLogger("netwarp")

EXPORTING = threading.RLock()
"""Held while torch.export runs a network with parameters of its own, whose device is now and then read as "meta"."""


@dataclass(frozen=True)
class Preprocess:
    """Turns an RGB frame in 0–1 into a network's input: ``(frame * scale - mean) / std``.

    Flow is estimated, and corrected but for the release's FlowCNN, on the raw frames instead.

    Attributes:
        mean: Per channel, in the network's channel order and in units of ``scale``.
        std: Per channel, in the same order and units.
        scale: The value of white before the mean is taken off: 1.0, or 255.0 for networks from Caffe.
        order: Channel order that the network was trained with.
        divisor: Height and width are padded at the bottom and right (edge pixels repeated) to multiples of this;
            the logits of the padding are cut off again.
        remainder: They are padded to this much more than a multiple: 1 with a divisor of 8 for networks that take
            sizes of the form 8k+1. Below ``divisor``.
        size: (height, width) that frames are resized to for the network, or None for their own; the logits
            are brought back to frame size.
    """

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    scale: float = 1.0
    order: Literal["rgb", "bgr"] = "rgb"
    divisor: int = 1
    size: tuple[int, int] | None = None
    remainder: int = 0

    def __post_init__(self) -> None:
        size = () if self.size is None else _parts(self.size)
        numbers = (*_parts(self.mean), *_parts(self.std), self.scale, self.divisor, self.remainder, *size)
        if not all(isinstance(value, (int, float)) for value in numbers):
            raise ConfigurationError(
                f"mean, std, scale, divisor, remainder and size must be numbers, not those of {self}"
            )
        if len(self.mean) != 3 or len(self.std) != 3:
            raise ConfigurationError(f"mean and std need 3 values each, got {self.mean} and {self.std}")
        if not all(math.isfinite(value) for value in (*self.mean, *self.std, self.scale)):
            raise ConfigurationError("mean, std and scale must be finite")
        if min(self.std) <= 0 or self.scale <= 0 or self.divisor < 1:
            raise ConfigurationError("std and scale must be positive and divisor at least 1")
        if not 0 <= self.remainder < self.divisor:
            raise ConfigurationError(
                f"remainder must be from 0 to below the divisor {self.divisor}, not {self.remainder}"
            )
        if self.order not in ("rgb", "bgr"):
            raise ConfigurationError(f"order must be 'rgb' or 'bgr', not {self.order!r}")
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise ConfigurationError(f"size must be a positive (height, width), not {self.size}")

    def __call__(self, frame: Tensor) -> Tensor:
        """Prepare frames for the network.

        Args:
            frame: ``[B,3,H,W]`` RGB, floating point in 0–1.

        Returns:
            ``[B,3,H',W']`` of the same dtype; H', W' as given by :meth:`grid`.

        Raises:
            InputError: The frame is of whole numbers.
        """
        if not frame.is_floating_point():
            raise InputError(f"preprocessing takes a frame in 0–1, not {frame.dtype}: give frame.float() / 255")
        (h, w), (padded_h, padded_w) = self.grid((frame.shape[-2], frame.shape[-1]))
        if self.size is not None and (h, w) != tuple(frame.shape[-2:]):
            frame = F.interpolate(frame, size=(h, w), mode="bilinear", align_corners=False, antialias=True)
        if self.order == "bgr":
            frame = frame.flip(1)
        mean, std = _by_channel(self.mean, frame), _by_channel(self.std, frame)
        frame = (frame * self.scale - mean) / std
        if (padded_h, padded_w) != (h, w):
            frame = F.pad(frame, (0, padded_w - w, 0, padded_h - h), mode="replicate")
        return frame

    def grid(self, size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """(height, width) of a frame of this size after resizing, and after padding."""
        h, w = self.size or size
        return (h, w), (self._padded(h), self._padded(w))

    def _padded(self, length: int) -> int:
        return -(-(length - self.remainder) // self.divisor) * self.divisor + self.remainder

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, for a saved model; without what older versions of netwarp do not need."""
        return {name: value for name, value in asdict(self).items() if name != "remainder" or value}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Preprocess:
        """Build what :meth:`to_dict` describes, also after a trip through JSON."""
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**fields)


def _parts(value: Any) -> Iterable[Any]:  # noqa: ANN401
    return value if isinstance(value, (tuple, list)) else ("no list",)


def _by_channel(values: tuple[float, float, float], like: Tensor) -> Tensor:
    """``[1,3,1,1]``, on a GPU without waiting for it."""
    on_gpu = like.device.type == "cuda"
    tensor = torch.tensor(values, dtype=like.dtype, pin_memory=on_gpu)
    return tensor.to(like.device, non_blocking=on_gpu).view(1, 3, 1, 1)


def preprocess_of(base: nn.Module) -> Preprocess:
    """``base.preprocess``, or ImageNet's mean and standard deviation where there is none."""
    own = getattr(base, "preprocess", None)
    if isinstance(own, Preprocess):
        return own
    if hasattr(getattr(base, "config", None), "id2label"):
        log.warning(
            "%s says nothing of its preprocessing: ImageNet's mean and standard deviation are assumed; give its image "
            "processor as preprocess, or load it as hf:REPO_OR_FOLDER",
            type(base).__name__,
        )
    return Preprocess()


def as_preprocess(given: Any) -> Preprocess:  # noqa: ANN401
    """Take mean, standard deviation, scale and channel order from an image processor of transformers.

    Its size, of training crops, is not used: frames keep theirs, padded to the multiple that the network needs.
    """
    if isinstance(given, Preprocess):
        return given
    if not hasattr(given, "image_mean") or not hasattr(given, "image_std"):
        raise ConfigurationError(f"preprocess must be a netwarp.Preprocess or an image processor, not {given!r}")
    rescale = getattr(given, "rescale_factor", 1 / 255) if getattr(given, "do_rescale", True) else 1.0
    normalise = bool(getattr(given, "do_normalize", False))
    return Preprocess(
        mean=_three(given.image_mean) if normalise else (0.0, 0.0, 0.0),
        std=_three(given.image_std) if normalise else (1.0, 1.0, 1.0),
        # Processors work on 0–255. 255 × (1/255) is 1 to the last bit, but not for every factor.
        scale=round(255 * float(rescale), 12),
        order="bgr" if getattr(given, "do_flip_channel_order", False) else "rgb",
    )


def _three(values: Any) -> tuple[float, float, float]:  # noqa: ANN401
    r, g, b = (float(v) for v in ([values] * 3 if isinstance(values, (int, float)) else values))
    return r, g, b


def base_dtype(base: nn.Module) -> torch.dtype:
    """The floating-point dtype that a network computes in: its first parameter's, or float32 if it has none."""
    return next((p.dtype for p in base.parameters() if p.is_floating_point()), torch.float32)


def base_device(base: nn.Module) -> torch.device:
    """The device that a network lies on: its first parameter's, or the CPU if it has none."""
    with EXPORTING:
        return next((p.device for p in base.parameters()), torch.device("cpu"))


def network_input(base: nn.Module, preprocess: Preprocess, frame: Tensor) -> Tensor:
    """Prepare a checked frame ``[B,3,H,W]`` for a network, in the network's dtype."""
    return preprocess(to_unit_range(frame)).to(base_dtype(base))


def as_frames(frame: Tensor | np.ndarray, device: torch.device) -> Tensor:
    """Check a frame and bring it to a device, as ``[B,3,H,W]``."""
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


def as_clip(
    frames: Tensor, flows: Tensor | None, forward_flows: Tensor | None, device: torch.device
) -> tuple[tuple[Tensor, ...], tuple[Tensor | None, ...], tuple[Tensor | None, ...]]:
    """Check a clip ``[B,T,3,H,W]`` and its flows ``[B,T-1,2,H,W]``, and take them apart; None for each unknown flow."""
    if not isinstance(frames, Tensor):
        raise InputError(f"a clip must be a tensor of frames [B,T,3,H,W], not {type(frames).__name__}")
    if frames.ndim != 5 or frames.shape[2] != 3 or frames.numel() == 0:
        raise InputError(f"a clip must be RGB [B,T,3,H,W], oldest frame first, got {list(frames.shape)}")
    # All at once: a look at values is a wait for the GPU.
    clip = as_frames(frames.flatten(0, 1), device).reshape(frames.shape).unbind(1)
    batch, length, _, height, width = frames.shape
    expected = [batch, length - 1, 2, height, width]
    for given in (flows, forward_flows):
        if given is not None and (not isinstance(given, Tensor) or list(given.shape) != expected):
            got = list(given.shape) if isinstance(given, Tensor) else type(given).__name__
            raise InputError(f"flows of this clip must be {expected}, one for each two neighbouring frames, not {got}")
    unknown = (None,) * (length - 1)
    backward = unknown if flows is None else flows.unbind(1)
    return clip, backward, unknown if forward_flows is None else forward_flows.unbind(1)


def to_unit_range(frame: Tensor) -> Tensor:
    """Bring a frame to float32 in 0–1 (float64 stays float64)."""
    if frame.dtype == torch.uint8:
        return frame.float().div_(255)  # in place: new memory costs more than the division
    return frame.to(torch.promote_types(torch.float32, frame.dtype))


def check_flow(flow: Tensor, frame: Tensor) -> Tensor:
    """Refuse a flow that does not fit a frame or is not finite; return it on the frame's device, float32 or better."""
    expected = [frame.shape[0], 2, *frame.shape[-2:]]
    if not isinstance(flow, Tensor):
        raise InputError(f"flow must be a floating point tensor {expected}, not {type(flow).__name__}")
    if list(flow.shape) != expected or not flow.is_floating_point():
        raise InputError(f"flow must be floating point {expected} for this frame, got {flow.dtype} {list(flow.shape)}")
    if not bool(torch.isfinite(flow).all()):
        raise InputError("the flow holds NaN or infinite values: check where it comes from")
    return flow.to(frame.device, torch.promote_types(torch.float32, flow.dtype))


def channels_last_inputs(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Bring ``[B,C,H,W]`` inputs to channels-last memory format: a forward pre-hook."""
    return tuple(
        value.contiguous(memory_format=torch.channels_last) if isinstance(value, Tensor) and value.ndim == 4 else value
        for value in inputs
    )
