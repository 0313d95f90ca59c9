"""The map in what a segmentation network returns: a tensor, dict, tuple or object, of logits, queries or values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from netwarp.errors import ConfigurationError

NAMES = ("out", "logits", "predicted_depth")
"""Keys and attributes under which networks return their map: torchvision's, and those of transformers."""
QUERIES = (("class_queries_logits", "masks_queries_logits"), ("logits", "pred_masks"))
"""Those of transformers' universal networks: Mask2Former, MaskFormer, OneFormer, EoMT and others; and DETR."""


def logits_of(output: Any) -> Tensor:  # noqa: ANN401
    """Find the map ``[B,C,h,w]`` in what a network returns; of several in a tuple or list the first."""
    maps = _found(output)
    if not isinstance(maps, Tensor):
        keys = f" with {', '.join(map(str, output))}" if isinstance(output, Mapping) else ""
        raise ConfigurationError(
            f"the base returns {type(output).__name__}{keys}: a network must return a tensor, a tuple or list that "
            "begins with one, a dict with 'out', or an object with .logits"
        )
    if maps.ndim not in (3, 4) or not maps.is_floating_point():
        labels = "" if maps.is_floating_point() else ", before argmax"
        raise ConfigurationError(
            f"the base returns {maps.dtype} {list(maps.shape)}: logits must be floating point [B,classes,h,w]{labels}"
        )
    return maps.unsqueeze(1) if maps.ndim == 3 else maps  # one output, without its dimension


def maps_in(output: Any) -> int:  # noqa: ANN401
    """How many maps a tuple or list holds, of which :func:`logits_of` takes the first; 1 for all else."""
    return sum(isinstance(each, Tensor) and each.ndim == 4 for each in output) if _is_row(output) else 1


def is_depth(output: Any) -> bool:  # noqa: ANN401
    """Whether a network says that its output is depth."""
    return _item(output, "predicted_depth") is not None


def _found(output: Any) -> Any:  # noqa: ANN401
    if isinstance(output, Tensor):
        return output
    for names in QUERIES:
        classes, masks = (_item(output, name) for name in names)
        if isinstance(classes, Tensor) and isinstance(masks, Tensor):
            return _of_queries(classes, masks)
    for name in NAMES:
        if (found := _item(output, name)) is not None:
            return found
    if isinstance(output, Mapping) and len(output) == 1:
        return next(iter(output.values()))
    return _found(output[0]) if _is_row(output) and output else None


def _is_row(output: Any) -> bool:  # noqa: ANN401
    return isinstance(output, (tuple, list)) and not any(hasattr(output, name) for name in NAMES)


def _item(output: Any, name: str) -> Any:  # noqa: ANN401
    if isinstance(output, Mapping) and name in output:
        return output[name]
    return getattr(output, name, None)


def _of_queries(classes: Tensor, masks: Tensor) -> Tensor:
    """Logarithm of the classes' scores ``[B,C,h,w]`` that queries ``[B,Q,C+1]`` and their masks ``[B,Q,h,w]`` give.

    The score of a class is the sum over the queries of its probability (softmax; the last is "none") times the mask's
    (sigmoid), as in MaskFormer (arXiv 2107.06278, section 3.4); softmax of the logarithms are the shares.
    """
    dtype = torch.promote_types(torch.float32, masks.dtype)
    shares = classes.softmax(-1, dtype=dtype)[..., :-1]
    scores = torch.einsum("bqc,bqhw->bchw", shares, masks.to(dtype).sigmoid())
    return scores.clamp_min(1e-30).log().to(masks.dtype)
