"""``netwarp demo``: the whole story, on street video that it renders itself."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from netwarp.cli.arguments import CommandRequest, flag, local_place, option, whole_number
from netwarp.cli.terminal import say

EXAMPLE = """\
examples:
  netwarp demo
  netwarp demo --out /tmp/demo --seed 7

Writes index.html: side-by-side video, the flow before and after the FlowCNN, thin structures from nearby, and a table
that holds the network frame by frame against its control, the mode without training, and NetWarp."""


@dataclass(frozen=True, kw_only=True)
class Request(CommandRequest):
    """What is asked for."""

    out: str = option("DIR", "folder for the result (default: netwarp-demo)", default="netwarp-demo", type=local_place)
    seed: int = option(
        "N", "of everything that is drawn by chance (default: 0)", type=whole_number(0, 2**32 - 1), default=0
    )
    quick: bool = flag("smaller and shorter: to see that all of it runs, not what it can do")


def run(request: Request) -> None:
    """Run the demonstration; see the module."""
    from netwarp.lab.demo.demo import run_demo

    result = run_demo(Path(request.out), seed=request.seed, quick=request.quick, progress=sys.stderr.isatty())
    say(result.table_text)
    say(f"\n{result.seconds:.0f} s: open {result.page} in a browser")
