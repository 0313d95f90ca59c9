"""The gain within bands around label changes, against their width (the paper's figure 4)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from netwarp.report.experiment.drawing import new_figure, save_figure
from netwarp.report.experiment.rows import BASE, Row
from netwarp.report.experiment.summary import relative_gain
from netwarp.report.experiment.units import Figures

__all__ = ["COLOURS", "Curve", "draw_curves", "draw_gain_curves"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Okabe and Ito's, which colour-blind people tell apart; yellow left out, as it is too pale for a line."""

MARKS = "osD^vP*"


@dataclass(frozen=True)
class Curve:
    """A line of the figure.

    Attributes:
        name: What the legend calls it.
        gain: In percent, by the width of the band in pixels.
        control: Whether it is drawn as what the others are compared with.
    """

    name: str
    gain: Mapping[int, float]
    control: bool = False


def draw_curves(rows: Sequence[Row], figures: Sequence[Figures], title: str, path: Path) -> None:
    """Draw the relative gain in tIoU over the network frame by frame for rows that are to be drawn and their controls.

    Args:
        rows: All rows.
        figures: Of all units.
        title: What was tested on.
        path: PNG file.

    Raises:
        MissingExtraError: Matplotlib is not installed.
        OutputError: The file cannot be written.
    """
    drawn = [row for row in rows if row.drawn]
    names = [row.name for row in drawn]
    # One control is enough to see by: that of the last row drawn.
    against = next((row.against for row in reversed(drawn) if row.against), "")
    base = [f for f in figures if f.row == BASE]
    curves = []
    for name in [*names, *([against] if against else [])]:
        gain = relative_gain([f for f in figures if f.row == name], base)
        curves.append(Curve(name, {width: spread.mean for width, spread in gain.items()}, control=name == against))
    draw_gain_curves(curves, title, path)


def draw_gain_curves(
    curves: Sequence[Curve], title: str, path: Path, *, points: Mapping[str, tuple[int, float]] | None = None
) -> None:
    """Draw gains in tIoU over the network frame by frame, by the width of the band.

    Args:
        curves: What to draw; those without a value are left out.
        title: Of the figure.
        path: PNG file.
        points: The paper's value for a curve, (width, gain) by the curve's name.

    Raises:
        MissingExtraError: Matplotlib is not installed.
        OutputError: The file cannot be written.
    """
    figure = new_figure(7.5, 4.2)
    axes = figure.add_subplot()
    axes.axhline(0, color="0.4", linewidth=1)
    controls = itertools.cycle(("--", ":"))
    for index, curve in enumerate(curve for curve in curves if curve.gain):
        colour, mark = COLOURS[index % len(COLOURS)], MARKS[index % len(MARKS)]
        axes.plot(
            list(curve.gain),
            list(curve.gain.values()),
            color="0.55" if curve.control else colour,
            linestyle=next(controls) if curve.control else "-" if index < len(COLOURS) else "--",
            marker=None if curve.control else mark,
            markersize=4,
            markevery=(index % 3, 3),
            linewidth=1.6,
            label=curve.name,
        )
        if points and curve.name in points:
            axes.plot(
                *points[curve.name], mark, color=colour, markersize=10, markerfacecolor="none", linestyle="",
                label=f"paper, {curve.name}",
            )  # fmt: skip
    axes.set_xlabel("width of the band around label changes (pixels)")
    axes.set_ylabel(f"gain in tIoU over\n{BASE.lower()} (%)")
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8.5)
    save_figure(figure, path)
