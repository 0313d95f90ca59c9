"""``netwarp check-data``: is a data set whole, and what is in it?"""

from __future__ import annotations

from dataclasses import dataclass

from netwarp.cli.arguments import MASK_VALUE, CommandRequest, argument, flag, option, whole_number
from netwarp.cli.terminal import progress_bar, say, warn
from netwarp.errors import ConfigurationError, InputError

EXAMPLE = """\
examples:
  netwarp check-data camvid:data/camvid --split val
  netwarp check-data folder:my_clips --all
  netwarp check-data streets:clips=2,frames=10,size=160x90 --length 3

SPEC is camvid:DIR, cityscapes:DIR, vspw:DIR, folder:DIR (docs/data.md draws their layouts) or streets:KEY=VALUE,…
Faults are files that cannot be read, sizes that differ, and labels outside the classes. A class that never occurs is a
warning.
Labelled frames without frames before them are counted, and a fault only where no others are left."""


@dataclass(frozen=True, kw_only=True)
class Request(CommandRequest):
    """What is asked for."""

    spec: str = argument("SPEC", "the data set")
    split: str | None = option("NAME", "a part of it (default: val, or the only one)")
    all: bool = flag("every split")
    length: int = option(
        "N", "frames in a sample: 1 asks for none before (default: 2)", type=whole_number(1, 1000), default=2
    )
    strict: bool = flag("a labelled frame without enough frames before it is a fault too")
    cache: str | None = option("DIR", "folder for frames that are taken out of videos, and for rendered clips")
    mask_value: str | None = option(*MASK_VALUE)


def run(request: Request) -> None:
    """Check; see the module."""
    from netwarp.datasets.check import check_data
    from netwarp.datasets.registry import open_data, splits_of

    if request.all and request.split is not None:
        raise ConfigurationError("--all checks every split: leave out --split, or --all")
    empty: list[str] = []
    for split in splits_of(request.spec) if request.all else (request.split,):
        data = open_data(request.spec, split, length=request.length, cache=request.cache, mask_value=request.mask_value)
        with progress_bar(sum(len(clip.frames) for clip in data.clips)) as advance:
            summary = check_data(data, request.length, advance)
        if summary.samples:
            if request.strict and summary.left_out:
                first, others = summary.left_out[0], len(summary.left_out) - 1
                raise InputError(
                    f"{first.name} in {data.name} lacks neighbours ({first.reason}; {others} more are left out): "
                    "give the frames before it, or leave out --strict"
                )
            say(summary.text())
            if summary.doubt:
                warn(f"{data.name}: {summary.doubt}")
            continue
        why = "; ".join(f"{len(names)}: {reason}" for reason, names in summary.reasons.items()) or "none is labelled"
        empty.append(f"{data.name} has no sample of {request.length} frames ({why})")
    if empty:
        raise InputError(f"{', and '.join(empty)}: give the frames before those with labels, or --length 1")
