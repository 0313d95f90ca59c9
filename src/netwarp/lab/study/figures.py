"""Crops side by side: frame, truth, frame by frame, NetWarp (the paper's figures 3 and 6), chosen by counting alone."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from netwarp.datasets.clips import ClipData
from netwarp.kept_arrays import load_arrays
from netwarp.lab.output import new_figure, number, save_figure
from netwarp.lab.study.rows import BASE, Row
from netwarp.lab.study.store import UnitScores
from netwarp.lab.study.study_context import pictured
from netwarp.lab.study.summary import Spread, relative_gain
from netwarp.lab.window_choice import Choice, Place, choose_places
from netwarp.label_sets import IGNORE, LabelSet
from netwarp.video.label_maps import full_palette

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Okabe and Ito's, which colour-blind people tell apart; yellow left out, as it is too pale for a line."""

MARKS = "osD^vP*"


def draw_curves(rows: Sequence[Row], units: Sequence[UnitScores], title: str, path: Path) -> None:
    """Draw the relative gain in tIoU over the network frame by frame of chosen rows and their controls."""
    drawn = [row for row in rows if row.drawn]
    # One control is enough to see by: that of the last row drawn.
    controls = [row.against for row in drawn if row.against][-1:]
    of = {row.name: [unit for unit in units if unit.row == row.name] for row in rows}
    names = [*(row.name for row in drawn), *controls]
    draw_gain_curves({name: relative_gain(of[name], of[BASE]) for name in names}, controls, title, path)


def draw_gain_curves(
    gains: Mapping[str, Mapping[int, Spread]],
    controls: Collection[str],
    title: str,
    path: Path,
    *,
    points: Mapping[str, tuple[int, float]] | None = None,
) -> None:
    """Draw gains in tIoU over the network frame by frame, by the width of the band."""
    figure = new_figure(7.5, 4.2)
    axes = figure.add_subplot()
    axes.axhline(0, color="0.4", linewidth=1)
    dashes = itertools.cycle(("--", ":"))
    for index, (name, gain) in enumerate((name, gain) for name, gain in gains.items() if gain):
        colour, mark = COLOURS[index % len(COLOURS)], MARKS[index % len(MARKS)]
        axes.plot(
            list(gain),
            [spread.mean for spread in gain.values()],
            color="0.55" if name in controls else colour,
            linestyle=next(dashes) if name in controls else "-" if index < len(COLOURS) else "--",
            marker=None if name in controls else mark,
            markersize=4,
            markevery=(index % 3, 3),
            linewidth=1.6,
            label=name,
        )
        if points and name in points:
            axes.plot(
                *points[name], mark, color=colour, markersize=10, markerfacecolor="none", linestyle="",
                label=f"paper, {name}",
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


def draw_prices(summaries: Sequence[Mapping[str, Any]], title: str, path: Path) -> None:
    """Draw IoU and consistency against time: a line for each way to save, and each size, through its keyframes."""
    lines: dict[str, list[Mapping[str, Any]]] = {}
    for row in summaries:
        name, at, scale = row["name"].partition(" at ")
        way, *rest = name.split(", ")
        line = ", ".join([way, *(part for part in rest if part in ("edges", "offline"))])
        lines.setdefault(BASE if way == BASE else f"{line}{at}{scale}", []).append(row)
    figure = new_figure(10, 4.6)
    for axes, measure, label in zip(figure.subplots(1, 2), ("miou", "tc"), ("IoU (%)", "tc (%)"), strict=True):
        for index, (name, rows) in enumerate(lines.items()):
            rows = sorted(rows, key=lambda row: row["times_frame_by_frame"])
            points = [[row["times_frame_by_frame"] for row in rows], [row[measure].mean for row in rows]]
            style = {"color": COLOURS[index % len(COLOURS)], "marker": MARKS[index % len(MARKS)], "markersize": 5}
            axes.plot(*points, linestyle="--" if index >= len(COLOURS) else "-", label=name, **style)
        axes.set_xlabel(f"time a frame, in times of {BASE.lower()}")
        axes.set_ylabel(label)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="0.9")
    figure.suptitle(title, fontsize=10)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    save_figure(figure, path)


GAINS, LOSSES = 4, 2
"""Crops with the largest gain, and with the largest loss, on a page."""

NO_CLASS, UNKNOWN = (255, 255, 255), (0, 0, 0)
"""Colours of labels that are no class, as a network with more outputs may give them, and of what nobody labelled, which
counts nowhere."""

LONGEST = 22
"""Letters of a name that fit beside a crop."""

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ComparedClip:
    """A clip that was tested on."""

    names: Sequence[str]  # of the frames
    images: Picture  # [T,H,W,3] RGB
    truth: Picture  # [T,H,W], 255 where nobody said
    base: Picture  # [T,H,W], labels frame by frame
    warped: Picture  # [T,H,W], labels with NetWarp


def draw_crops(
    clips: Sequence[ComparedClip], classes: LabelSet, name: str, path: Path, *, title: str = "", share: int = 3
) -> tuple[list[Place], tuple[int, int], Choice]:
    """Draw the windows in which a row gains most over the network frame by frame, and those in which it loses most.

    Returns them, from the largest gain to the largest loss, their size and what they were chosen from.
    """
    height, width = clips[0].truth.shape[1:]
    window = (max(height // share, 1), max(width // share, 1))
    truth, base, warped = ([getattr(clip, which) for clip in clips] for which in ("truth", "base", "warped"))
    choose = partial(choose_places, truth, thin=range(len(classes)), window=window, frames=1)  # every class counts
    gains = choose(first=base, second=warped, best=GAINS)
    losses = choose(first=warped, second=base, best=LOSSES)  # the gains of the other one
    places = [*gains.best, *(replace(place, gain=-place.gain) for place in losses.best)]
    places.sort(key=lambda place: -place.gain)
    figure = new_figure(8, 1.4 + 1.95 * max(len(places), 1) * height / width)
    heading = [
        *([title] if title else []),
        f"Windows of {window[1]}×{window[0]} with the largest gains and losses of correct pixels",
        f"({name}: better in {gains.better} windows, worse in {gains.worse}, equal in {gains.same})",
    ]
    figure.suptitle("\n".join(heading), fontsize=9)
    grid = figure.subplots(max(len(places), 1), 4, squeeze=False)
    for line, place in zip(grid, places, strict=False):
        _draw_line(line, clips[place.clip], place, window, classes)
    for axes, head in zip(grid[0], ("frame", "truth", BASE.lower(), "NetWarp"), strict=True):
        axes.set_title(head, fontsize=9)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
    _draw_legend(figure, classes)
    save_figure(figure, path)
    return places, window, gains


def _draw_line(
    line: Sequence[Any], clip: ComparedClip, place: Place, window: tuple[int, int], classes: LabelSet
) -> None:
    area = np.s_[place.frame, place.top : place.top + window[0], place.left : place.left + window[1]]
    palette = full_palette(classes.palette)
    palette[len(classes) :] = NO_CLASS
    unknown = (clip.truth[area] == IGNORE)[..., None]
    labels = (clip.truth[area], clip.base[area], clip.warped[area])
    pictures = [clip.images[area], *(np.where(unknown, np.array(UNKNOWN, np.uint8), palette[each]) for each in labels)]
    for axes, picture in zip(line, pictures, strict=True):
        axes.imshow(picture, interpolation="nearest")
    name = "\n".join(part[-LONGEST:] for part in clip.names[place.frame].split("/"))
    line[0].set_ylabel(f"{number(place.gain, 0, signed=True)} px\n{name}", fontsize=7)


def _draw_legend(figure: Any, classes: LabelSet) -> None:  # noqa: ANN401
    from matplotlib.patches import Patch

    colours = dict(zip(classes.names, classes.palette, strict=True))
    colours |= {"none of these": NO_CLASS, "not labelled": UNKNOWN}
    entries = [
        Patch(facecolor=[value / 255 for value in colour], edgecolor="0.6", linewidth=0.5, label=name)
        for name, colour in colours.items()
    ]
    figure.legend(handles=entries, loc="outside lower center", ncols=7, frameon=False, fontsize=8)


CROPS_APART = 10
"""Crops come from other stretches of so many frames, as long as there are any."""


def compared_clips(data: ClipData, base: Path, warped: Path) -> list[ComparedClip]:
    """Stretches of what was tested on, with both labellings."""
    maps = [load_arrays(path) or {} for path in (base, warped)]
    frames = pictured(data)
    # Crops are of one size.
    size = maps[0][frames[0].name].shape
    frames = [frame for frame in frames if maps[0][frame.name].shape == size]
    stretches = (frames[start : start + CROPS_APART] for start in range(0, len(frames), CROPS_APART))
    return [
        ComparedClip(
            [frame.name for frame in stretch],
            np.stack([frame.image() for frame in stretch]),
            np.stack([frame.labels() for frame in stretch if frame.labels is not None]),
            *(np.stack([labels[frame.name] for frame in stretch]) for labels in maps),
        )
        for stretch in stretches
    ]
