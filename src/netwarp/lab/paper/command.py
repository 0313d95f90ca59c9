"""``netwarp reproduce``: the paper's tables and figures, with the paper's numbers beside those found here."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from netwarp.cli.models import add_device_argument, device_named
from netwarp.cli.parser import from_text
from netwarp.cli.terminal import going_on_later, quiet_loading, say
from netwarp.errors import ConfigurationError
from netwarp.lab.study.command import cores, count

SUMMARY = "make the paper's tables and figures anew, its numbers beside them"

EXAMPLE = """\
examples:
  netwarp reproduce table1
  netwarp reproduce fig4 --out runs/mine
  netwarp reproduce table3 --data camvid:DIR --weights dilation8.safetensors
  netwarp reproduce table4 --data cityscapes:DIR --weights pspnet101.safetensors
  netwarp reproduce table2 --quick

Without --data: rendered streets and networks of reduced width, some ten
minutes on two cores for each. With it: full networks, trained on the data's
train split and tested on test (Cityscapes: val).
Writes NAME.csv, NAME.md and NAME.png into --out; what is trained and
measured lies in its folder 'units', for all of them. Cut off and started
again, it goes on where it was."""

TARGETS = ("table1", "table2", "table3", "table4", "table5", "fig4", "fig5", "fig6")


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("target", metavar="TARGET", choices=TARGETS, help=f"one of {', '.join(TARGETS)}")
    parser.add_argument("--data", metavar="SPEC", help="camvid:DIR, cityscapes:DIR, folder:DIR or streets:…")
    parser.add_argument("--out", metavar="DIR", help="where everything goes (default: runs/reproduce)")
    parser.add_argument("--base", metavar="SPEC", help="another of the paper's networks, netwarp:NAME or NAME@FRACTION")
    parser.add_argument("--width", metavar="FRACTION", type=_width, help="of the network's channels, instead of --base")
    parser.add_argument("--weights", metavar="FILE", help="the network's weights (default: it is trained first)")
    parser.add_argument("--raft", metavar="FILE", help="table2: weights for RAFT as the accurate flow")
    parser.add_argument(
        "--rows", nargs="+", metavar="NAME", help="only these lines of the table, the base and the controls"
    )
    parser.add_argument("--steps", metavar="N", type=count, help="steps that each row is trained for")
    parser.add_argument("--base-steps", metavar="N", type=count, help="steps that the network is trained for first")
    parser.add_argument("--seeds", metavar="N", type=count, help="how often each row is trained (default: 1)")
    parser.add_argument(
        "--jobs", metavar="N", type=count, help="processes of one thread (default: one for each core; 1 on a GPU)"
    )
    add_device_argument(parser)
    parser.add_argument("--quick", action="store_true", help="two steps on tiny data: to see that all of it runs")


def run(options: Namespace) -> None:
    """Make a table or figure; see the module."""
    if options.raft is not None and options.target != "table2":
        raise ConfigurationError("--raft goes with table2, which compares flows")
    if options.weights is not None and options.base_steps is not None:
        raise ConfigurationError("--weights and --base-steps are both given: train the network, or load it")
    with quiet_loading(options.debug):
        from netwarp.lab.paper.reproduce import reproduce
        from netwarp.lab.paper.setups import Asked

    on = device_named(options.device)
    out = Path(options.out or ("runs/reproduce-quick" if options.quick else "runs/reproduce"))
    with going_on_later():
        outcome = reproduce(
            options.target,
            Asked(
                data=options.data,
                base=options.base,
                width=options.width,
                weights=options.weights,
                steps=options.steps,
                base_steps=options.base_steps,
                seeds=options.seeds,
                quick=options.quick,
            ),
            out,
            rows=tuple(options.rows or ()),
            raft=None if options.raft is None else Path(options.raft),
            device=on,
            jobs=options.jobs or (1 if on.startswith("cuda") else cores()),
            progress=sys.stderr.isatty(),
        )
    say(outcome.text)
    say(", ".join(str(path) for path in outcome.files))


@from_text
def _width(text: str) -> float:
    """Read ``--width``.

    >>> _width("0.125")
    0.125
    """
    try:
        width = float(text)
    except ValueError:
        width = 0.0
    if not 0 < width <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no fraction above 0 and at most 1")
    return width
