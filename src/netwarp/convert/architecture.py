"""The networks whose Caffe files can be read, by the names of ``netwarp convert caffe --arch``; without torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from netwarp.errors import ConfigurationError, unknown_name


@dataclass(frozen=True)
class Architecture:
    """A network that was published as a caffemodel."""

    name: str  # for --arch
    base: str  # the network that takes its weights, netwarp:NAME without "netwarp:"
    mark: str  # a layer that the networks after it in ARCHITECTURES do not have
    video: bool = False  # whether the file holds a NetWarp and FlowCNN too, and is converted to a whole model
    never: str | None = None  # a layer that its files do not have, where a file that has it would fit otherwise


ARCHITECTURES: dict[str, Architecture] = {
    each.name: each
    for each in (
        Architecture("pspnet101-netwarp", "pspnet101", mark="conv5_4_0_w", video=True),
        Architecture("pspnet101", "pspnet101", mark="conv5_3_pool1_conv"),
        Architecture("dilation10", "dilation10", mark="ctx_conv6_1"),
        Architecture("dilation8", "dilation8", mark="ctx_final", never="ctx_conv6_1"),
        Architecture("playdata", "playdata", mark="fc6"),
    )
}
"""Each before those that it contains: a file is of the first whose mark it has."""


def architecture(name: str) -> Architecture:
    """The architecture of a name.

    >>> architecture("pspnet101-netwarp@0.125").base
    'pspnet101@0.125'
    """
    if not isinstance(name, str):
        raise ConfigurationError(f"an architecture is named by a text, not by {name!r}")
    plain, at, fraction = name.partition("@")
    if plain not in ARCHITECTURES:
        raise unknown_name("architecture", plain, ARCHITECTURES)
    known = ARCHITECTURES[plain]
    if not at:
        return known
    return replace(known, name=name, base=f"{known.base}@{fraction}")


def likely_architecture(layers: Iterable[str]) -> str | None:
    """The architecture that a file with these layers seems to be, or None.

    >>> likely_architecture(["conv1_1", "fc6", "fc7", "final", "ctx_conv1_1", "ctx_final"])
    'dilation8'
    """
    names = set(layers)
    return next((each.name for each in ARCHITECTURES.values() if each.mark in names), None)
