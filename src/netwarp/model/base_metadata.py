"""What a network carries with it: how its frames are prepared, what its classes are called, how far its layers look.

Networks from :func:`netwarp.load_base` carry all of it. In others, an attribute of one of these names may mean
something else (many keep their number of classes as ``classes``), and then it is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from netwarp.errors import ConfigurationError
from netwarp.label_sets import Colour, LabelSet, label_set
from netwarp.model.inputs import Preprocess

__all__ = ["label_set_of", "margin_of", "preprocess_of"]


def preprocess_of(base: nn.Module) -> Preprocess:
    """``base.preprocess``, or ImageNet's mean and standard deviation where there is none."""
    carried = getattr(base, "preprocess", None)
    return carried if isinstance(carried, Preprocess) else Preprocess()


def margin_of(base: nn.Module, layer: str) -> int:
    """How far the map of a layer looks beyond the network's input, on each side, in pixels of the input.

    ``margins``, a dict by the names of layers, says it for networks that reflect their input outward and then do
    without padding, as Yu and Koltun's. The network has it, or a module of it that the layer is in. Other layers' maps
    cover the input and nothing else.
    """
    module: nn.Module | None = base
    inside = layer
    # Down to the layer, and not through all modules: whoever asks may ask for each of them.
    while module is not None and inside:
        carried = getattr(module, "margins", None)
        margin = carried.get(inside, 0) if isinstance(carried, dict) else 0
        if isinstance(margin, int) and margin > 0:
            return margin
        part, _, inside = inside.partition(".")
        module = dict(module.named_children()).get(part)
    return 0


def label_set_of(
    base: nn.Module, classes: int, names: Sequence[str] | None, palette: Iterable[Sequence[int]] | None
) -> LabelSet:
    """Names and colours of a network's classes: those that are said, else those that it carries, else made up."""
    if names is None and _are_names(carried := getattr(base, "classes", None)):
        names = carried
    elif names is not None and not _are_names(names):
        raise ConfigurationError(f"classes must be a list of names, not {names!r}")
    labels = label_set(classes, None if names is None else tuple(names))
    if palette is None:
        carried = getattr(base, "palette", None)
        palette = carried if isinstance(carried, (list, tuple)) else labels.palette
    if isinstance(palette, str) or not isinstance(palette, Iterable):
        raise ConfigurationError(f"palette must be a list of RGB colours (0–255), not {palette!r}")
    colours = tuple(_colour(colour) for colour in palette)
    if len(colours) != classes:
        raise ConfigurationError(f"{len(colours)} colours for {classes} classes: give one for each")
    return LabelSet(labels.names, colours)


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
