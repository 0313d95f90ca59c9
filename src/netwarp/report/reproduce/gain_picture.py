"""A table as a picture: what every line gains over the network frame by frame, here and in the paper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from netwarp.report.experiment.curve import COLOURS
from netwarp.report.experiment.drawing import new_figure, save_figure
from netwarp.report.reproduce.results import Result, paper_gain

__all__ = ["draw_gains"]

KINDS = {"netwarp": ("o", COLOURS[0]), "control": ("s", "0.45"), "baseline": ("^", COLOURS[2])}
PAPER = COLOURS[1]


def draw_gains(results: Sequence[Result], title: str, path: Path) -> None:
    """Draw gains in IoU, tIoU and iIoU, as far as they are known, with the noise in IoU as a band around 0.

    Args:
        results: Of a table's lines.
        title: What was measured.
        path: PNG file.

    Raises:
        MissingExtraError: Matplotlib is not installed.
        OutputError: The file cannot be written.
    """
    shown = [result for result in results if result.to_base or paper_gain(results, result)]
    measures = [
        name for name in ("IoU", "tIoU", "iIoU")
        if any(math.isfinite(r.to_base[name].mean) for r in shown if name in r.to_base)
    ]  # fmt: skip
    figure = new_figure(3.2 + 2.6 * max(len(measures), 1), 1.6 + 0.27 * max(len(shown), 1))
    figure.suptitle(title, fontsize=10)
    panels = figure.subplots(1, max(len(measures), 1), sharey=True, squeeze=False)[0]
    for axes, measure in zip(panels, measures, strict=False):
        _draw_panel(axes, results, shown, measure)
    panels[0].set_yticks(range(len(shown)), [result.line.name for result in shown], fontsize=8)
    panels[0].set_ylim(len(shown) - 0.5, -0.5)
    handles, labels = panels[0].get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    save_figure(figure, path)


def _draw_panel(axes: Any, results: Sequence[Result], shown: Sequence[Result], measure: str) -> None:  # noqa: ANN401
    axes.axvline(0, color="0.4", linewidth=1)
    words = {"netwarp": "NetWarp", "control": "control", "baseline": "concatenation"}
    for place, result in enumerate(shown):
        if measure == "IoU" and math.isfinite(result.noise):
            axes.barh(place, 2 * result.noise, left=-result.noise, height=0.8, color="0.92", label="noise")
        gain = result.to_base.get(measure)
        if gain is not None and math.isfinite(gain.mean):
            mark, colour = KINDS[result.line.kind]
            deviation = gain.deviation if math.isfinite(gain.deviation) else None
            axes.errorbar(
                gain.mean, place, xerr=deviation, fmt=mark, color=colour, markersize=5, linewidth=1.2,
                label=words[result.line.kind],
            )  # fmt: skip
        published = paper_gain(results, result).get(measure)
        if published is not None:
            axes.plot(published, place, "D", color=PAPER, markerfacecolor="none", markersize=5, label="paper")
    axes.set_xlabel(f"gain in {measure} over\nframe by frame (points)", fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.93")
    axes.set_axisbelow(True)
