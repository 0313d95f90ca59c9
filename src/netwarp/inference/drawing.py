"""How the results of each kind of task are drawn over frames, and written into folders and files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from netwarp.errors import ConfigurationError
from netwarp.label_sets import IGNORE, Colour, LabelSet, voc_colour
from netwarp.model.task import Binary, Multilabel, Regression, Task
from netwarp.video.label_files import AreasFile, LabelFile, RunLengthFile
from netwarp.video.label_maps import MaskFolder
from netwarp.video.legend import Legend
from netwarp.video.map_folders import FolderPerName, MapFolder, ValueFolder, ValuePainter
from netwarp.video.overlay import overlay, overlay_sets
from netwarp.video.source import Image

Range = tuple[float, float]
Painter = Callable[[Image, Any], Image]
"""Draws a frame's result (:attr:`netwarp.inference.stream.Segmented.labels`) over its picture."""


def painter(task: Task, palette: Sequence[Colour], alpha: float, value_range: Range | None = None) -> Painter:
    """What draws the results of a task, for one video."""
    if isinstance(task, Regression):
        return ValuePainter(value_range)
    if isinstance(task, Binary):
        palette = palette[1:]
    return partial(overlay_sets if isinstance(task, Multilabel) else overlay, palette=palette, alpha=alpha)


def legend_of(task: Task, labels: LabelSet) -> Legend:
    """What draws the names of a task's labels; the rest round an object is not drawn, nor named."""
    if isinstance(task, Regression):
        raise _no_labels(task, "legend")
    return Legend(labels.names, labels.palette, without=(0,) if isinstance(task, Binary) else ())


def _no_labels(task: Task, option: str) -> ConfigurationError:
    return ConfigurationError(f"{{option}} is about labels, and the task is {task.name!r}: leave it out", option=option)


def folder_for(
    task: Task,
    place: Path,
    labels: LabelSet,
    inputs: Iterable[Path],
    value_range: Range | None = None,
    *,
    clean: bool = False,
) -> MapFolder:
    """Open the folder that results are written into, a file a frame; of several labels or values a folder each."""

    def values(folder: Path, number: int = 0) -> MapFolder:
        return ValueFolder(folder, value_range, inputs=inputs, clean=clean)

    def masks(folder: Path, number: int) -> MapFolder:
        return MaskFolder(folder, [voc_colour(0), labels.palette[number]], inputs=inputs, clean=clean)

    if isinstance(task, Regression):
        return values(place) if task.outputs == 1 else FolderPerName(place, labels.names, values)
    if isinstance(task, Multilabel) and not isinstance(task, Binary):
        return FolderPerName(place, labels.names, masks)
    if len(labels) > IGNORE + 1:
        raise ConfigurationError(
            f"a network of {len(labels)} classes does not fit label maps, which hold 256: "
            "use netwarp.segment from Python"
        )
    return MaskFolder(place, labels.palette, inputs=inputs, clean=clean)


def label_files(
    task: Task,
    labels: LabelSet,
    *,
    areas: Path | None = None,
    rle: Path | None = None,
    inputs: Iterable[Path] = (),
    live: bool = False,
) -> dict[str, LabelFile]:
    """The files that numbers about labels are written into, by argument; of the rest round an object no region is."""
    for option, place in (("areas", areas), ("rle", rle)):
        if place is not None and isinstance(task, Regression):
            raise _no_labels(task, option)
    sources, found = tuple(inputs), dict[str, LabelFile]()
    if areas is not None:
        found["areas"] = AreasFile(areas, labels.names, inputs=sources, live=live)
    if rle is not None:
        rest = (0,) if isinstance(task, Binary) else ()
        found["rle"] = RunLengthFile(rle, labels.names, inputs=sources, live=live, without=rest)
    return found
