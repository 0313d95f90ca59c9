"""Recurrent all-pairs field transforms: slow and exact flow, through torchvision."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netwarp.errors import ConfigurationError, unknown_name
from netwarp.flow.estimator import check_frames, check_scale, frames_to_float
from netwarp.input_files import expanded
from netwarp.ops.warp import resize_flow
from netwarp.weights import load_weights, published_weights, read_weights, unwrapped

SIZES = ("large", "small")

# torchvision's network works at 1/8 size, and pools its correlations until a side of 16 is 2.
DIVISOR = 8
SMALLEST_SIDE = 128


class RAFTFlow:
    """RAFT (Teed and Deng, ECCV 2020), by torchvision, on the device of the frames.

    RAFT's flow leads from its first image to its second; with the current frame first it is our backward flow.
    Frames are padded with their edge pixels to multiples of 8 and at least 128, and the flow is cut to size.
    """

    def __init__(self, weights: str | Path = "large", scale: float = 1.0, updates: int = 12) -> None:
        check_scale(scale)
        if updates < 1:
            raise ConfigurationError(f"RAFT needs at least 1 update, not {updates}")
        self.weights = str(weights)
        self.scale = scale
        self.updates = updates
        self._network = _load(self.weights)

    @property
    def spec(self) -> str:
        scale = f"@{self.scale!r}" if self.scale != 1 else ""
        updates = f",updates={self.updates}" if self.updates != 12 else ""
        return f"raft:{self.weights}{scale}{updates}"

    def __call__(self, current: Tensor, previous: Tensor, index: int | None = None) -> Tensor:
        """Estimate backward flow; see :class:`netwarp.flow.FlowEstimator`."""
        check_frames(current, previous)
        size = (current.shape[-2], current.shape[-1])
        # float32 even inside the caller's autocast: flow of half precision is a pixel off on wide frames.
        with torch.no_grad(), torch.autocast(current.device.type, enabled=False):
            now, before = self._prepare(current), self._prepare(previous)
            h, w = now.shape[-2:]
            network = self._network.to(current.device)
            flow: Tensor = network(_pad(now), _pad(before), num_flow_updates=self.updates)[-1][..., :h, :w]
            if (h, w) != size:
                flow = resize_flow(flow, size)
        return flow.contiguous()

    def __repr__(self) -> str:
        return f"RAFTFlow({self.weights!r}, scale={self.scale!r}, updates={self.updates})"

    def _prepare(self, frame: Tensor) -> Tensor:
        frame = frames_to_float(frame)
        if self.scale != 1:
            h, w = (max(1, round(side * self.scale)) for side in frame.shape[-2:])
            frame = F.interpolate(frame, size=(h, w), mode="area")
        return frame * 2 - 1


def _pad(frame: Tensor) -> Tensor:
    h, w = frame.shape[-2:]
    below, right = (max(SMALLEST_SIDE, -(-side // DIVISOR) * DIVISOR) - side for side in (h, w))
    return F.pad(frame, (0, right, 0, below), mode="replicate")


def _load(weights: str) -> nn.Module:
    """Build the network for a size's name or a file of weights, frozen and in eval."""
    from torchvision.models import optical_flow

    if weights in SIZES:
        known = getattr(optical_flow, f"Raft_{weights.capitalize()}_Weights").DEFAULT
        state, size = published_weights(known, "RAFT", "name the file, raft:FILE"), weights
    else:
        path = expanded(weights)
        if not path.is_file():
            if path.suffix or path.name != weights:
                raise ConfigurationError(f"no file of RAFT weights at {weights}")
            raise unknown_name("RAFT size or file of weights", weights, SIZES)
        state = unwrapped(read_weights(path))
        # Only the large network learns how to bring its flow to full size.
        size = "large" if any(key.startswith("mask_predictor.") for key in state) else "small"
    network: nn.Module = getattr(optical_flow, f"raft_{size}")(weights=None)
    load_weights(network, state, weights)
    return network.eval().requires_grad_(False)
