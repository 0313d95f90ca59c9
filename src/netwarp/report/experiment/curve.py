"""The gain within bands around label changes, against their width (the paper's figure 4)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from netwarp.report.experiment.drawing import new_figure, save_figure
from netwarp.report.experiment.rows import BASE, Row
from netwarp.report.experiment.summary import relative_gain
from netwarp.report.experiment.units import Figures

__all__ = ["draw_curves"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Okabe and Ito's, which colour-blind people tell apart; yellow left out, as it is too pale for a line."""

MARKS = "osD^vP*"


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
    figure = new_figure(7.5, 4.2)
    axes = figure.add_subplot()
    axes.axhline(0, color="0.4", linewidth=1)
    for index, name in enumerate([*names, *([against] if against else [])]):
        gain = relative_gain([f for f in figures if f.row == name], base)
        if not gain:
            continue
        control = name == against
        axes.plot(
            list(gain),
            [spread.mean for spread in gain.values()],
            color="0.55" if control else COLOURS[index % len(COLOURS)],
            linestyle="--" if control or index >= len(COLOURS) else "-",
            marker=None if control else MARKS[index % len(MARKS)],
            markersize=4,
            markevery=(index % 3, 3),
            linewidth=1.6,
            label=name,
        )
    axes.set_xlabel("width of the band around label changes (pixels)")
    axes.set_ylabel(f"gain in tIoU over\n{BASE.lower()} (%)")
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8.5)
    save_figure(figure, path)
