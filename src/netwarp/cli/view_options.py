"""The arguments that show a network windows, scales and mirrors of a frame."""

from __future__ import annotations

import argparse
import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from netwarp.cli.arguments import CommandRequest, numbers, option, whole_number
from netwarp.cli.terminal import note
from netwarp.errors import ConfigurationError
from netwarp.inference.views import FLIPS, Flip, Size, Views, named, scaled_size

if TYPE_CHECKING:
    from torch import nn

    from netwarp.inference.sliding import Sliding
    from netwarp.model import Preprocess, VideoModel

LEAST = 16
"""Pixels of a side from which on a network has anything to tell apart: two places of a map at an eighth of the size."""

MANY = 64
"""Views of a frame from which on it is said how many they are."""


def _sides(text: str) -> tuple[int, int]:
    """Read a size, width first as everybody writes it, or one side of a square.

    >>> _sides("713"), _sides("800x600")
    ((713, 713), (600, 800))
    """
    match = re.fullmatch(r"([1-9]\d{0,4})(?:[xX×*]([1-9]\d{0,4}))?", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no size: write pixels, such as 713, or WIDTHxHEIGHT, such as 800x600"
        )
    return int(match[2] or match[1]), int(match[1])


@dataclass(frozen=True, kw_only=True)
class ViewOptions(CommandRequest):
    """Which views of a frame the network is shown."""

    window: tuple[int, int] | None = option(
        "N|WxH", "show the network windows of this size; where they overlap, probabilities are averaged", type=_sides
    )
    stride: tuple[int, int] | None = option(
        "N|WxH", "from window to window (default: two thirds of the window)", type=_sides
    )
    scales: tuple[float, ...] | None = option(
        "S,…",
        "show it frames of these scales, such as 0.5,1,1.5, and average (default: frames as they are)",
        type=numbers(bool, "are no scales: write numbers, such as 0.5,1,1.5"),
    )
    flip: Flip = option(
        "|".join(FLIPS),
        "show it everything mirrored too, and average the two's probabilities (the default) or sum their logits",
        default=False,
        nargs="?",
        const=FLIPS[0],
        choices=FLIPS,
    )
    batch: int | None = option(
        "N",
        "of these windows and mirrors, how many go through it together (default: what suits the device)",
        type=whole_number(1, 10_000),
    )


def views_of(request: ViewOptions) -> Views:
    """The views that the arguments ask for."""
    if request.stride is not None and request.window is None:
        raise ConfigurationError("--stride goes with --window: it leads from window to window")
    views = Views.of(request.window, request.stride, request.scales, request.flip)
    if request.batch is not None and not views:
        raise ConfigurationError("--batch goes with --window, --scales or --flip, which make several views of a frame")
    return views


def preprocess_for(views: Views, preprocess: Preprocess, frame: Size | None) -> Preprocess:
    """A network's preprocessing, without a size of its own where windows and scales say what it sees."""
    _check_size(views, max(LEAST, preprocess.divisor), frame)
    return preprocess if views.window is None and views.scales is None else replace(preprocess, size=None)


def _check_size(views: Views, least: int, frame: Size | None) -> None:
    """See that views are not smaller than a network can make anything of, nor frames so to begin with."""
    if views.window is not None:
        needed = (least, least) if frame is None else (min(least, frame[0]), min(least, frame[1]))
        if views.window[0] < needed[0] or views.window[1] < needed[1]:
            raise ConfigurationError(
                f"in windows of {named(views.window)} a network sees nothing that it could tell apart: "
                f"give --window {least} or more"
            )
    for scale in views.scales or ():
        if frame is not None and scale < 1 and min(seen := scaled_size(frame, scale)) < least:
            sensible = min(math.ceil(100 * (least - 1.5) / min(frame)) / 100, 1)
            raise ConfigurationError(
                f"at scale {scale:g} a network sees frames of {named(seen)}, in which it can tell nothing apart: "
                f"{sensible:g} is the least for frames of {named(frame)}"
            )


def in_views(model: VideoModel, request: ViewOptions) -> VideoModel | Sliding:
    """A model that is shown the views; the model itself where they are nothing but the frames."""
    if not (views := views_of(request)):
        return model
    from netwarp.inference.sliding import Sliding

    return Sliding(model, views.window, views.stride, views.scales, views.flip, batch=request.batch)


def say_how_many(request: ViewOptions, network: nn.Module, frame: Size) -> None:
    """Say what a frame costs, where it has many views, or the network looks further beyond each than it is large."""
    views = views_of(request)
    tilings = views.tilings(frame)
    count = sum(len(tiling.views(views.flip)) for tiling in tilings)
    margins = getattr(network, "margins", None)
    margin = max(margins.values(), default=0) if isinstance(margins, dict) else 0
    narrow = views.window is not None and min(views.window) < margin
    if count < MANY and not narrow:
        return
    pixels = sum(
        len(tiling.views(views.flip)) * (tiling.window[0] + 2 * margin) * (tiling.window[1] + 2 * margin)
        for tiling in tilings
    )
    whole = (frame[0] + 2 * margin) * (frame[1] + 2 * margin)
    beyond = f", {margin} pixels beyond each on every side included" if margin else ""
    note(
        f"a frame of {named(frame)} has {count} views, and the network works on {pixels / whole:.1f} times the pixels "
        f"of the whole frame{beyond}" + (": larger windows are faster" if narrow else "")
    )
