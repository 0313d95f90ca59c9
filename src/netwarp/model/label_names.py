"""What a network's labels are called, and their colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from netwarp.errors import ConfigurationError
from netwarp.label_sets import Colour, LabelSet
from netwarp.model.task import Task


def labels_of(
    base: nn.Module, task: Task, names: Sequence[str] | None, palette: Iterable[Sequence[int]] | None
) -> LabelSet:
    """Names and colours of a network's labels: those that are given, else the network's own, else made up."""
    if names is None and _are_names(own := getattr(base, "classes", None)):
        names = own
    elif names is None:
        names = _id2label(base, task.outputs)
    elif not _are_names(names):
        raise ConfigurationError(f"classes must be a list of names, not {names!r}")
    if palette is None:
        own = getattr(base, "palette", None)
        palette = own if isinstance(own, (list, tuple)) else None
    if palette is not None and (isinstance(palette, str) or not isinstance(palette, Iterable)):
        raise ConfigurationError(f"palette must be a list of RGB colours (0–255), not {palette!r}")
    return task.named(names, None if palette is None else tuple(_colour(colour) for colour in palette))


def _id2label(base: nn.Module, outputs: int) -> Sequence[str] | None:
    """The names in the configuration of a network of transformers, unless they are made up or of another number."""
    found = getattr(getattr(base, "config", None), "id2label", None)
    if not isinstance(found, dict) or sorted(found) != list(range(outputs)):
        return None
    names = [str(found[number]) for number in range(outputs)]
    return None if all(name.startswith("LABEL_") for name in names) else names


def _are_names(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value)


def _colour(value: Sequence[int]) -> Colour:
    try:
        red, green, blue = (int(part) for part in value)
    except (TypeError, ValueError):
        red, green, blue = -1, -1, -1
    if not all(0 <= part <= 255 for part in (red, green, blue)):
        raise ConfigurationError(f"a colour must be RGB in 0–255, such as (128, 64, 128), not {value!r}")
    return red, green, blue
