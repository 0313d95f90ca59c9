"""The arguments that name files of numbers about labels."""

from __future__ import annotations

from dataclasses import dataclass

from netwarp.cli.arguments import CommandRequest, local_place, option

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
