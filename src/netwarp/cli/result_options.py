"""The arguments that say how labels are shown, and name files of numbers about them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from netwarp.class_lists import VOID
from netwarp.cli.arguments import CommandRequest, flag, local_place, option
from netwarp.errors import ConfigurationError, few
from netwarp.label_sets import Colour, LabelSet, are_made_up, coloured_by, same_name

if TYPE_CHECKING:
    from netwarp.model import VideoModel

log = logging.getLogger("netwarp")

LABEL_FILES = ("areas", "rle")
"""Fields of :class:`LabelFileOptions`."""


@dataclass(frozen=True, kw_only=True)
class LabelFileOptions(CommandRequest):
    """Which numbers about the labels are written."""

    areas: str | None = option(
        "FILE", "write the pixels of each class and their share of the frame into this CSV table", type=local_place
    )
    rle: str | None = option(
        "FILE", "write each class's region of each frame as COCO's run lengths into this JSON file (extra coco)",
        type=local_place,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ColourOptions(CommandRequest):
    """How labels are shown; :func:`palette_of` reads the colours."""

    palette: str | None = option(
        "FILE", "colours of the classes: a line 'NAME R G B' for each, as classes.txt has them, or lines 'R G B'"
    )
    legend: bool = flag("write the names of the classes that occur into the video")


Palette = LabelSet | tuple[Colour, ...]


def palette_of(request: ColourOptions) -> Palette | None:
    """The colours that ``--palette`` names."""
    if request.palette is None:
        return None
    from netwarp.class_lists import read_palette

    return read_palette(Path(request.palette))


def without_void(palette: LabelSet, count: int) -> LabelSet:
    """The lines of a palette that are for classes: those called void only where there are so many classes."""
    lines = [line for line in zip(palette.names, palette.palette, strict=True) if line[0].casefold() not in VOID]
    return LabelSet(*zip(*lines, strict=True)) if lines and len(palette) > count else palette


def paint(model: VideoModel, palette: Palette | None) -> VideoModel:
    """Give a model's classes the colours of a palette, and names where their own are made up. Returns the model."""
    if palette is None:
        return model
    own, count = LabelSet(model.classes, model.palette), len(model.classes)
    if isinstance(palette, LabelSet) and are_made_up(own.names):
        palette = without_void(palette, count)
    if model.task.name == "regression":
        raise ConfigurationError("{option} colours classes, and the network gives values: leave it out",
                                 option="palette")  # fmt: skip
    if isinstance(palette, LabelSet) and not are_made_up(own.names):
        if not any(same_name(one, other) for one in own.names for other in palette.names):
            raise ConfigurationError(
                f"{{option}} names none of the classes ({few(own.names)}) but {few(palette.names)}: call them alike",
                option="palette",
            )
        unknown = [name for name in palette.names if not any(same_name(name, one) for one in (*own.names, *VOID))]
        if unknown:
            log.warning("--palette names %s, which is no class here (%s)", few(unknown), few(own.names))
        labels = coloured_by(own, palette)
    elif len(palette) < count and not (model.task.name == "binary" and len(palette) == 1):
        raise ConfigurationError(
            f"{{option}} has {len(palette)} colours, and there are {count} classes: give one for each", option="palette"
        )
    elif isinstance(palette, LabelSet):
        labels = model.task.named(palette.names[:count], palette.palette[:count])
    else:
        labels = model.task.named(own.names, palette[:count])
    model.classes, model.palette = labels.names, labels.palette
    return model
