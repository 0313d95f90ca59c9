"""The arguments that show a network windows, scales and mirrors of a frame."""

from __future__ import annotations

import argparse
import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from netwarp.cli.parser import from_text
from netwarp.engine.views import LARGEST_SCALE, Views
from netwarp.errors import ConfigurationError

if TYPE_CHECKING:
    from netwarp.engine.sliding import Sliding
    from netwarp.model import Preprocess, VideoModel

__all__ = ["VIEWS", "add_view_arguments", "in_views", "views_of", "without_size"]

VIEWS = ("window", "stride", "scales", "flip")
"""The arguments, as options have them."""


def add_view_arguments(parser: ArgumentParser) -> None:
    """Declare ``--window``, ``--stride``, ``--scales`` and ``--flip``."""
    parser.add_argument(
        "--window",
        metavar="N|WxH",
        type=_sides,
        help="show the network windows of this size; where they overlap, probabilities are averaged",
    )
    parser.add_argument(
        "--stride", metavar="N|WxH", type=_sides, help="from window to window (default: two thirds of the window)"
    )
    parser.add_argument(
        "--scales",
        metavar="S,…",
        type=_scales,
        help="show it frames of these scales, such as 0.5,1,1.5, and average (default: frames as they are)",
    )
    parser.add_argument("--flip", action="store_true", help="show it everything mirrored too, and average")


def views_of(options: Namespace) -> Views:
    """The views that the arguments ask for.

    Raises:
        ConfigurationError: They do not go together.
    """
    if options.stride is not None and options.window is None:
        raise ConfigurationError("--stride goes with --window: it leads from window to window")
    return Views.of(options.window, options.stride, options.scales, options.flip)


def without_size(preprocess: Preprocess, views: Views) -> Preprocess:
    """A network's preprocessing without a size of its own, where windows and scales say what it sees."""
    return preprocess if views.window is None and views.scales is None else replace(preprocess, size=None)


def in_views(model: VideoModel, views: Views) -> VideoModel | Sliding:
    """A model that is shown the views; the model itself where they are nothing but the frames."""
    if not views:
        return model
    from netwarp.engine.sliding import Sliding

    return Sliding(model, views.window, views.stride, views.scales, views.flip)


@from_text
def _sides(text: str) -> tuple[int, int]:
    """Read a size, width first as everybody writes it, or one side of a square.

    Returns:
        (height, width).

    >>> _sides("713"), _sides("800x600")
    ((713, 713), (600, 800))
    """
    match = re.fullmatch(r"([1-9]\d{0,4})(?:[xX×*]([1-9]\d{0,4}))?", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no size: write pixels, such as 713, or WIDTHxHEIGHT, such as 800x600"
        )
    return int(match[2] or match[1]), int(match[1])


@from_text
def _scales(text: str) -> tuple[float, ...]:
    """Read ``--scales``.

    >>> _scales("0.5, 1")
    (0.5, 1.0)
    """
    try:
        scales = tuple(float(part) for part in text.split(","))
    except ValueError:
        scales = (math.nan,)
    if not all(0 < scale <= LARGEST_SCALE for scale in scales):
        raise argparse.ArgumentTypeError(
            f"{text!r} are no scales: write numbers above 0 and up to {LARGEST_SCALE:g}, such as 0.5,1,1.5"
        )
    return scales
