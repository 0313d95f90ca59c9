"""``netwarp check-data``: is a data set whole, and what is in it?"""

from __future__ import annotations

import argparse
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from netwarp.cli.parser import from_text
from netwarp.cli.terminal import progress_bar, say
from netwarp.errors import ConfigurationError, InputError

SUMMARY = "read a whole data set, name its first fault, or say what is in it"

EXAMPLE = """\
examples:
  netwarp check-data camvid:data/camvid --split val
  netwarp check-data folder:my_clips --all
  netwarp check-data streets:clips=2,frames=10,size=160x90 --length 3

SPEC is camvid:DIR, cityscapes:DIR, folder:DIR (docs/data.md draws their layouts) or streets:KEY=VALUE,…
Faults are files that cannot be read, sizes that differ, and labels outside the classes.
Labelled frames without frames before them are counted, and a fault only where no others are left."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("spec", metavar="SPEC", help="the data set")
    parser.add_argument("--split", metavar="NAME", help="a part of it (default: val, or the only one)")
    parser.add_argument("--all", action="store_true", help="every split")
    parser.add_argument(
        "--length", metavar="N", type=_length, default=2, help="frames in a sample: 1 asks for none before (default: 2)"
    )
    parser.add_argument(
        "--strict", action="store_true", help="a labelled frame without enough frames before it is a fault too"
    )
    parser.add_argument(
        "--cache", metavar="DIR", help="folder for frames that are taken out of videos, and for rendered clips"
    )


def run(options: Namespace) -> None:
    """Check; see the module."""
    from netwarp.datasets.check import check_data
    from netwarp.datasets.registry import open_data, splits_of

    if options.all and options.split is not None:
        raise ConfigurationError("--all checks every split: leave out --split, or --all")
    cache = None if options.cache is None else Path(options.cache)
    empty: list[str] = []
    for split in splits_of(options.spec) if options.all else (options.split,):
        data = open_data(options.spec, split, length=options.length, cache=cache)
        with progress_bar(sum(len(clip.frames) for clip in data.clips)) as advance:
            summary = check_data(data, options.length, advance)
        if summary.samples:
            if options.strict and summary.left_out:
                first, others = summary.left_out[0], len(summary.left_out) - 1
                raise InputError(
                    f"{first.name} in {data.name} lacks neighbours ({first.reason}; {others} more are left out): "
                    "give the frames before it, or leave out --strict"
                )
            say(summary.text())
            continue
        why = "; ".join(f"{len(names)}: {reason}" for reason, names in summary.reasons.items()) or "none is labelled"
        empty.append(f"{data.name} has no sample of {options.length} frames ({why})")
    if empty:
        raise InputError(f"{', and '.join(empty)}: give the frames before those with labels, or --length 1")


@from_text
def _length(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 1000")
    return int(text)
