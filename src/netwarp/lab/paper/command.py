"""``netwarp reproduce``: the paper's tables and figures, with the paper's numbers beside those found here."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from netwarp.cli.arguments import argument, flag, option
from netwarp.cli.models import DeviceOption, device_named
from netwarp.cli.terminal import going_on_later, quiet_loading, say
from netwarp.errors import ConfigurationError
from netwarp.lab.study.command import count

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
        raise argparse.ArgumentTypeError(f"{text!r} is not a fraction: give a number above 0 and at most 1")
    return width


@dataclass(frozen=True, kw_only=True)
class Request(DeviceOption):
    """What is asked for."""

    target: str = argument("TARGET", f"one of {', '.join(TARGETS)}", choices=TARGETS)
    data: str | None = option("SPEC", "camvid:DIR, cityscapes:DIR, folder:DIR or streets:…")
    out: str | None = option("DIR", "where everything goes (default: runs/reproduce)")
    base: str | None = option("SPEC", "another of the paper's networks, netwarp:NAME or NAME@FRACTION")
    width: float | None = option("FRACTION", "of the network's channels, instead of --base", type=_width)
    weights: str | None = option("FILE", "the network's weights (default: it is trained first)")
    raft: str | None = option("FILE", "table2: weights for RAFT as the accurate flow")
    rows: list[str] | None = option("NAME", "only these lines of the table, the base and the controls", nargs="+")
    steps: int | None = option("N", "steps that each row is trained for", type=count)
    base_steps: int | None = option("N", "steps that the network is trained for first", type=count)
    seeds: int | None = option("N", "how often each row is trained (default: 1)", type=count)
    jobs: int | None = option("N", "processes of one thread (default: one for each core; 1 on a GPU)", type=count)
    quick: bool = flag("two steps on tiny data: to see that all of it runs")


def run(request: Request) -> None:
    """Make a table or figure; see the module."""
    if request.raft is not None and request.target != "table2":
        raise ConfigurationError("--raft goes with table2, which compares flows")
    if request.weights is not None and request.base_steps is not None:
        raise ConfigurationError("--weights and --base-steps are both given: train the network, or load it")
    with quiet_loading(request.debug):
        from netwarp.inference.threads import cores_of_process
        from netwarp.lab.paper.reproduce import reproduce
        from netwarp.lab.paper.setups import Asked

    on = device_named(request.device)
    out = Path(request.out or ("runs/reproduce-quick" if request.quick else "runs/reproduce"))
    with going_on_later():
        outcome = reproduce(
            request.target,
            Asked(
                data=request.data,
                base=request.base,
                width=request.width,
                weights=request.weights,
                steps=request.steps,
                base_steps=request.base_steps,
                seeds=request.seeds,
                quick=request.quick,
            ),
            out,
            rows=tuple(request.rows or ()),
            raft=None if request.raft is None else Path(request.raft),
            device=on,
            jobs=request.jobs or (1 if on.startswith("cuda") else cores_of_process()),
            progress=sys.stderr.isatty(),
        )
    say(outcome.text)
    say(", ".join(str(path) for path in outcome.files))
