"""Versions of a network with a fraction of its channels: ``netwarp:playdata@0.125``."""

from __future__ import annotations

from netwarp.errors import ConfigurationError

__all__ = ["channels_at", "width_of"]


def channels_at(width: float, channels: int) -> int:
    """How many channels a layer has in a network of reduced width.

    Args:
        width: Fraction of the channels, above 0 and at most 1.
        channels: Their number at full width.

    Returns:
        The nearest whole number, at least 1.

    Raises:
        ConfigurationError: A width outside (0, 1].

    >>> channels_at(0.125, 64), channels_at(0.001, 64)
    (8, 1)
    """
    if not 0 < width <= 1:
        raise ConfigurationError(f"a width is a fraction of the channels, above 0 and at most 1, not {width}")
    return max(1, round(width * channels))


def width_of(text: str) -> float:
    """The fraction that a text names.

    Raises:
        ConfigurationError: It is no number, or outside (0, 1].

    >>> width_of("0.125")
    0.125
    """
    try:
        width = float(text)
    except ValueError:
        width = 0.0
    if not 0 < width <= 1:
        raise ConfigurationError(
            f"a width is a fraction of the channels, above 0 and at most 1, as in @0.125; not {text!r}"
        )
    return width
