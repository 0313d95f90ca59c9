"""The arguments that say how labels are made of what a model says: the picture's edges, and later frames."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any, Literal

from netwarp.cli.arguments import CommandRequest, flag, number, option, whole_number
from netwarp.errors import ConfigurationError


def _window(text: str) -> int:
    if not text.isdecimal() or int(text) % 2 == 0 or int(text) > 31:
        raise argparse.ArgumentTypeError(f"{text!r} is no window: write an odd number of pixels up to 31, such as 7")
    return int(text)


_sigma = number(lambda sigma: 0 < sigma <= 1, "is no difference of colours: write a number from 0 to 1, as 0.05")


@dataclass(frozen=True, kw_only=True)
class EdgeOptions(CommandRequest):
    """Whether labels follow the picture's edges; :func:`edges_of` brings it into the form that Python takes."""

    edges: Literal["on", "off", "auto"] = option(
        "on|off|auto",
        "move the edges of labels to those of the picture (default: auto: on with a memory that needs no training)",
        choices=("on", "off", "auto"),
        default="auto",
    )
    edges_window: int | None = option("N", "side of that filter's window in pixels, odd (default: 7)", type=_window)
    edges_sigma: float | None = option(
        "S", "difference of colours, 0 to 1, that is an edge to it (default: 0.05)", type=_sigma
    )


@dataclass(frozen=True, kw_only=True)
class LabelOptions(EdgeOptions):
    """How labels are made; :func:`label_settings` brings it into the form that Python takes."""

    lag: int | None = option(
        "N", "frames of delay: what later frames say is brought back (default: 0)", type=whole_number(0, 500)
    )
    offline: bool = flag("look ahead as far as is of use, in a recorded video")


def edges_of(request: EdgeOptions) -> Any:  # noqa: ANN401 - a name or a filter, whose module imports torch
    """What Python takes as ``edges``."""
    given = {"window": request.edges_window, "sigma": request.edges_sigma}
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if request.edges == "off":
        request.refuse(("edges_window", "edges_sigma"), "makes no sense with --edges off: leave one of them out")
    if not chosen:
        return request.edges
    from netwarp.ops import Edges  # imports torch

    return Edges(**chosen)


def label_settings(request: LabelOptions) -> dict[str, Any]:
    """Keyword arguments of :func:`netwarp.segment` and of :func:`netwarp.evaluation.evaluate.evaluate`."""
    edges = edges_of(request)
    if request.offline and request.lag:
        raise ConfigurationError("--offline looks ahead as far as is of use: leave --lag out", option="lag")
    return {"edges": edges, "lag": request.lag or 0, "offline": request.offline}
