"""Crops side by side: frame, truth, frame by frame, NetWarp (the paper's figures 3 and 6), chosen by counting alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from netwarp.data.masks import full_palette
from netwarp.metrics.labels import IGNORE
from netwarp.model.label_set import LabelSet
from netwarp.report.experiment.drawing import new_figure, save_figure
from netwarp.report.experiment.rows import BASE
from netwarp.report.thin_places import Choice, Place, choose_places

__all__ = ["Chosen", "Shown", "draw_crops"]

GAINS, LOSSES = 4, 2
"""Crops with the largest gain, and with the largest loss, on a page."""

NO_CLASS, UNKNOWN = (255, 255, 255), (0, 0, 0)
"""Colours of labels that are no class, as a network with more outputs may give them, and of what nobody labelled, which
counts nowhere."""

LONGEST = 22
"""Letters of a name that fit beside a crop."""

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Shown:
    """A clip that was tested on.

    Attributes:
        names: Of the frames.
        images: ``[T,H,W,3]`` RGB.
        truth: ``[T,H,W]``, 255 where nobody said.
        base: ``[T,H,W]``, labels frame by frame.
        warped: ``[T,H,W]``, labels with NetWarp.
    """

    names: Sequence[str]
    images: Picture
    truth: Picture
    base: Picture
    warped: Picture


@dataclass(frozen=True)
class Chosen:
    """What is in the picture, and what it was chosen from.

    Attributes:
        places: Windows and the pixels that they gain, from the largest gain to the largest loss.
        window: (height, width) of each.
        better: Number of all windows with a gain.
        worse: Of those with a loss.
        same: Of those with neither.
    """

    places: tuple[tuple[Place, int], ...]
    window: tuple[int, int]
    better: int
    worse: int
    same: int


def draw_crops(
    clips: Sequence[Shown], classes: LabelSet, name: str, path: Path, *, title: str = "", share: int = 3
) -> Chosen:
    """Draw the windows in which a row gains most over the network frame by frame, and those in which it loses most.

    Args:
        clips: What was tested on; all of one size.
        classes: Names and colours.
        name: Of the row.
        path: PNG file.
        title: What stands above; nothing by default.
        share: Of a frame's height and width, a window has this part.

    Returns:
        What is shown.

    Raises:
        MissingExtraError: Matplotlib is not installed.
        OutputError: The file cannot be written.
    """
    height, width = clips[0].truth.shape[1:]
    window = (max(height // share, 1), max(width // share, 1))
    truth, base, warped = ([getattr(clip, which) for clip in clips] for which in ("truth", "base", "warped"))
    every = range(len(classes))

    def choose(first: Sequence[Picture], second: Sequence[Picture], count: int) -> Choice:
        return choose_places(truth, first, second, every, window=window, frames=1, best=count)

    gains, losses = choose(base, warped, GAINS), choose(warped, base, LOSSES)
    # Losses are the gains of the other one.
    places = [*((place, place.gain) for place in gains.best), *((place, -place.gain) for place in losses.best)]
    places.sort(key=lambda each: -each[1])
    figure = new_figure(8, 1.4 + 1.95 * max(len(places), 1) * height / width)
    heading = [title] if title else []
    heading.append(f"Windows of {window[1]}×{window[0]} with the largest gains and losses of correct pixels")
    heading.append(f"({name}: better in {gains.better} windows, worse in {gains.worse}, equal in {gains.same})")
    figure.suptitle("\n".join(heading), fontsize=9)
    grid = figure.subplots(max(len(places), 1), 4, squeeze=False)
    for line, (place, gain) in zip(grid, places, strict=False):
        _draw_line(line, clips[place.clip], place, gain, window, classes)
    for axes, title in zip(grid[0], ("frame", "truth", BASE.lower(), "NetWarp"), strict=True):
        axes.set_title(title, fontsize=9)
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
    _draw_legend(figure, classes)
    save_figure(figure, path)
    return Chosen(tuple(places), window, gains.better, gains.worse, gains.same)


def _draw_line(
    line: Sequence[Any], clip: Shown, place: Place, gain: int, window: tuple[int, int], classes: LabelSet
) -> None:
    area = np.s_[place.frame, place.top : place.top + window[0], place.left : place.left + window[1]]
    truth = clip.truth[area]
    pictures = [
        clip.images[area],
        *(_colours(labels, truth, classes) for labels in (truth, clip.base[area], clip.warped[area])),
    ]
    for axes, picture in zip(line, pictures, strict=True):
        axes.imshow(picture, interpolation="nearest")
    sign = "+" if gain > 0 else "−"
    name = "\n".join(part[-LONGEST:] for part in clip.names[place.frame].split("/"))
    line[0].set_ylabel(f"{sign}{abs(gain)} px\n{name}", fontsize=7)


def _colours(labels: Picture, truth: Picture, classes: LabelSet) -> Picture:
    """A label map in colours."""
    palette = full_palette(classes.palette)
    palette[len(classes) :] = NO_CLASS
    return np.where((truth == IGNORE)[..., None], np.array(UNKNOWN, np.uint8), palette[labels])


def _draw_legend(figure: Any, classes: LabelSet) -> None:  # noqa: ANN401
    from matplotlib.patches import Patch

    meaning = [
        *zip(classes.names, classes.palette, strict=True),
        ("none of these", NO_CLASS),
        ("not labelled", UNKNOWN),
    ]
    entries = [
        Patch(facecolor=[value / 255 for value in colour], edgecolor="0.6", linewidth=0.5, label=name)
        for name, colour in meaning
    ]
    figure.legend(handles=entries, loc="outside lower center", ncols=7, frameon=False, fontsize=8)
