"""One pass of a network over a frame, in which somebody sees the layers that hold a NetWarp and may exchange them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netwarp.errors import ConfigurationError
from netwarp.model.adapter import logits_of, to_frame_size
from netwarp.model.frames import to_unit_range
from netwarp.model.placement import OUTPUTS
from netwarp.model.preprocess import Preprocess
from netwarp.model.probe import base_dtype
from netwarp.model.taps import StopPass, Taps

__all__ = ["run_pass"]


def run_pass(
    base: nn.Module,
    taps: Taps,
    layers: Sequence[str],
    frame: Tensor,
    preprocess: Preprocess,
    combine: Callable[[str, Tensor], Tensor],
    *,
    whole: bool = True,
    alike: bool = False,
) -> Tensor | None:
    """Run a network over a frame.

    Args:
        base: The network.
        taps: Hooks on those of the layers that are modules.
        layers: Names of the layers in the order in which they run.
        frame: ``[B,3,H,W]``, RGB, uint8 or floating point in 0–1.
        preprocess: What the network wants done to it.
        combine: Called with the name and the representation ``[B,C,h,w]`` of each layer; returns what the network
            goes on with.
        whole: Whether the logits are wanted; else the pass ends at the last of the layers.
        alike: Whether the layers' weights are the same for all channels. Then a constant per pixel, by which
            log-probabilities differ from logits, stays one through every combination and every warp, and "log_probs"
            need not be made for the same labels and probabilities.

    Returns:
        Logits ``[B,classes,H,W]``; None where they are not wanted.

    Raises:
        ConfigurationError: a layer did not run.
    """
    seen: list[str] = []

    def visit(name: str, representation: Tensor) -> Tensor:
        combined = combine(name, representation)
        seen.append(name)
        if not whole and len(seen) == len(layers):
            raise StopPass
        return combined

    logits: Tensor | None = None
    with taps.visit(visit):
        logits = logits_of(base(preprocess(to_unit_range(frame)).to(base_dtype(base))))
    for name in layers:
        if name not in seen and name not in OUTPUTS:
            raise ConfigurationError(
                f"layer {name!r} did not run on this frame: a NetWarp needs a layer that runs on every one"
            )
    if logits is None:
        return None
    if "output" in layers:
        logits = combine("output", logits)
    elif "log_probs" in layers:
        dtype = torch.promote_types(torch.float32, logits.dtype)
        if alike:
            logits = combine("log_probs", logits.to(dtype)).to(logits.dtype)
        else:
            current = F.log_softmax(logits, dim=1, dtype=dtype)
            # Adding the change keeps the logits of a fresh model bitwise, where log-probabilities would round anew.
            logits = logits + (combine("log_probs", current) - current).to(logits.dtype)
    if not whole:
        return None
    size = (frame.shape[-2], frame.shape[-1])
    return to_frame_size(logits, *preprocess.grid(size), size)
