"""``netwarp demo``: the whole story, on street video that it renders itself."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from netwarp.cli.parser import from_text
from netwarp.cli.terminal import say

SUMMARY = "the whole story on street video that it renders and trains on itself; under four minutes on two idle cores"

EXAMPLE = """\
examples:
  netwarp demo
  netwarp demo --out /tmp/demo --seed 7

Writes index.html: side-by-side video, the flow before and after the FlowCNN, thin structures from nearby, and a table
that holds the network frame by frame against its control, the mode without training, and NetWarp."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--out", metavar="DIR", default="netwarp-demo", help="folder for the result (default: netwarp-demo)"
    )
    parser.add_argument(
        "--seed", metavar="N", type=_seed, default=0, help="of everything that is drawn by chance (default: 0)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="smaller and shorter: to see that all of it runs, not what it can do"
    )


def run(options: Namespace) -> None:
    """Run the demonstration; see the module."""
    from netwarp.lab.demo.demo import run_demo

    result = run_demo(Path(options.out), seed=options.seed, quick=options.quick, progress=sys.stderr.isatty())
    say(result.table_text)
    say(f"\n{result.seconds:.0f} s: open {result.page} in a browser")


@from_text
def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 4294967295")
    return int(text)
