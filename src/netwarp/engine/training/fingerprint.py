"""Which training a checkpoint belongs to: all that its end depends on, as plain values that can be compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from netwarp.data.clips import ClipData, Sample
from netwarp.engine.training.settings import TrainSettings
from netwarp.model import VideoModel
from netwarp.model.saved import configuration

__all__ = ["difference", "fingerprint"]

MAY_CHANGE = ("training.rate", "training.rates.", "training.clip_gradient")
"""What a user may lower to get past a loss that is not finite."""

HASHED = ("model.frozen weights", "data.clips", "data.unlabelled clips", "data.validation clips")


def fingerprint(
    model: VideoModel,
    settings: TrainSettings,
    samples: Sequence[Sample],
    unlabelled: Sequence[Sample],
    validation: ClipData | None,
    caller: Mapping[str, Any],
) -> dict[str, Any]:
    """Describe a training that has not begun.

    Weights that are trained are left out, as the checkpoint brings its own; those that are frozen are in.

    Args:
        model: With what is frozen requiring no gradients.
        settings: Of the training.
        samples: What it is trained on; their names tell them apart.
        unlabelled: Clips for the consistency loss.
        validation: What it is validated on.
        caller: More that must be the same.

    Returns:
        Values that JSON can hold.
    """
    frozen = ((name, p) for name, p in model.named_parameters() if not p.requires_grad)
    frames = () if validation is None else (frame.name for clip in validation.clips for frame in clip.frames)
    described = {
        "model": configuration(model) | {"frozen weights": _hash_of_tensors(frozen)},
        "training": settings.deciding(),
        "data": {
            "clips": _hash_of_names(samples),
            "unlabelled clips": _hash_of_names(unlabelled) if settings.consistency.unlabelled else None,
            "validation clips": None if validation is None else _hash_of_text(frames),
        },
        "caller": dict(caller),
    }
    plain: dict[str, Any] = json.loads(json.dumps(described))
    return plain


def difference(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str | None:
    """The first thing that two trainings do not have in common, in words; None where they are the same.

    Rates and the clipping of gradients may differ.

    Args:
        theirs: A checkpoint's fingerprint.
        ours: That of the training which is about to begin.

    Example:
        >>> difference({"training": {"steps": 100}}, {"training": {"steps": 200}})
        'training.steps was 100 and is 200'
    """
    before, now = _flat(theirs), _flat(ours)
    changed = sorted(
        name
        for name in before.keys() | now.keys()
        if before.get(name) != now.get(name) and not name.startswith(MAY_CHANGE)
    )
    if not changed:
        return None
    name = changed[0].removeprefix("caller.")
    was, is_now = (json.dumps(side.get(changed[0])) for side in (before, now))
    if changed[0] in HASHED or max(len(was), len(is_now)) > 60:
        return f"{name} differ"
    return f"{name} was {was} and is {is_now}"


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _hash_of_names(samples: Sequence[Sample]) -> str:
    return _hash_of_text(frame.name for sample in samples for frame in sample.frames)


def _hash_of_text(names: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def _hash_of_tensors(named: Iterable[tuple[str, Tensor]]) -> str:
    digest = hashlib.sha256()
    for name, tensor in named:
        digest.update(repr((name, str(tensor.dtype), list(tensor.shape))).encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
