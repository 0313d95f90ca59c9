"""What networks return, brought to one form: logits of a whole network, representations of its layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from netwarp.errors import ConfigurationError

__all__ = ["labels_of", "logits_of", "representation_of", "to_frame_size", "with_representation"]


def labels_of(logits: Tensor) -> Tensor:
    """The class of the largest logit; of equal ones the first."""
    # As argmax(1), which on the CPU takes ten times as long where the classes lie far apart in memory.
    return logits.max(1).indices


def logits_of(output: Any) -> Tensor:  # noqa: ANN401
    """The logits in what a segmentation network returns."""
    logits = output
    if isinstance(output, Mapping) and "out" in output:
        logits = output["out"]
    elif not isinstance(output, Tensor):
        logits = getattr(output, "logits", None)
    if not isinstance(logits, Tensor):
        raise ConfigurationError(
            f"the base returns {type(output).__name__}: a segmentation network must return a tensor, "
            "a dict with 'out', or an object with .logits"
        )
    if logits.ndim != 4 or not logits.is_floating_point():
        raise ConfigurationError(
            f"the base returns {logits.dtype} {list(logits.shape)}: logits must be floating point [B,classes,h,w]"
        )
    return logits


def representation_of(output: Any) -> Tensor | None:  # noqa: ANN401
    """The feature map in what a layer returns, or None if it returns something else."""
    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    if isinstance(output, Tensor) and output.ndim == 4 and output.is_floating_point():
        return output
    return None


def with_representation(output: Any, representation: Tensor) -> Any:  # noqa: ANN401
    """``output`` with the feature map that :func:`representation_of` finds in it exchanged."""
    if isinstance(output, list):
        return [representation, *output[1:]]
    if isinstance(output, tuple):
        rest = (representation, *output[1:])
        return type(output)(*rest) if hasattr(output, "_fields") else rest
    return representation


def to_frame_size(logits: Tensor, resized: tuple[int, int], padded: tuple[int, int], frame: tuple[int, int]) -> Tensor:
    """Bring logits from the network's output size to the frame's, the way back through the preprocessing."""
    if tuple(logits.shape[-2:]) != padded:
        logits = F.interpolate(logits, size=padded, mode="bilinear", align_corners=False)
    if padded != resized:
        logits = logits[..., : resized[0], : resized[1]]
    if resized != frame:
        logits = F.interpolate(logits, size=frame, mode="bilinear", align_corners=False)
    return logits
