"""``netwarp experiment``: what NetWarp gains on labelled video, against controls."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from netwarp.cli.models import add_base_arguments, add_device_argument, device_named
from netwarp.cli.parser import from_text
from netwarp.cli.terminal import going_on_later, quiet_loading, say
from netwarp.errors import ConfigurationError

SUMMARY = "train and test NetWarp at several depths on both halves of labelled video, against controls"

EXAMPLE = """\
examples:
  netwarp experiment --data camvid:DIR --base netwarp:espnet \\
      --weights espnet.pth --depths encoder.b2,encoder.b3,output \\
      --train-from encoder.b3 --out runs/camvid_15hz
  netwarp experiment --data streets:clips=12,frames=16 \\
      --base netwarp:streetnet --train-base streets:clips=64,frames=4 \\
      --depths at_quarter,at_eighth,output --out runs/streets
  netwarp experiment --quick

Two folds: trained on the first half of the labelled pairs and tested on the last, and the reverse.
Each row has a control: trained as long, with the same parameters of the network, but without memory.
Where the data knows its true flow (streets), rows with that flow show the ceiling.
Writes OUT.json, OUT.md, OUT-tiou.png and OUT-crops.png; cut off and started again, it goes on where it was."""

_QUICK = {
    "data": "streets:clips=2,frames=3,size=96x64",
    "base": "netwarp:streetnet",
    "depths": ("at_eighth", "output"),
    "train_from": "at_eighth",
    "seeds": 1,
    "out": "runs/quick",
}
_ORDINARY = {"seeds": 3, "out": "runs/experiment"}


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--data", metavar="SPEC", help="clips with labels: camvid:DIR, cityscapes:DIR, streets:…, folder:DIR"
    )
    parser.add_argument("--split", metavar="NAME", help="which part of it (default: val)")
    add_base_arguments(parser, required=False)
    parser.add_argument(
        "--train-base", metavar="SPEC", help="data to train the network on first, frame by frame (its split 'train')"
    )
    parser.add_argument(
        "--base-steps", metavar="N", type=count, default=450, help="steps that this training takes (default: 450)"
    )
    parser.add_argument(
        "--depths",
        metavar="LAYER,…",
        type=_layers,
        help="layers to try NetWarp at, the shallowest first, or output; 'netwarp layers' lists them",
    )
    parser.add_argument("--train-from", metavar="LAYER", help="in some rows, also train what runs behind this layer")
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="only these rows, and their controls")
    parser.add_argument("--seeds", metavar="N", type=count, help="repetitions of what is trained (default: 3)")
    parser.add_argument("--out", metavar="PATH", help="the files' common beginning (default: runs/experiment)")
    parser.add_argument(
        "--jobs", metavar="N", type=count, help="processes of one thread (default: one for each core; 2 on a GPU)"
    )
    add_device_argument(parser)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one seed and two steps, on rendered streets unless --data says otherwise: to see that all of it runs",
    )


def run(options: Namespace) -> None:
    """Run the experiment; see the module."""
    given = {name: value for name, value in vars(options).items() if value is not None}
    asked_for = argparse.Namespace(**{**vars(options), **(_QUICK if options.quick else _ORDINARY), **given})
    _run(asked_for)


def _run(options: argparse.Namespace) -> None:
    for name in ("data", "base", "depths"):
        if getattr(options, name) is None:
            raise ConfigurationError(f"--{name} is missing: 'netwarp experiment --help' shows what to give")
    if options.train_base and options.weights:
        raise ConfigurationError("--weights and --train-base are both given: train the network, or load it")
    with quiet_loading(options.debug):
        from netwarp.lab.study.experiment import Experiment, run_experiment
        from netwarp.lab.study.rows import QUICK, Recipe
        from netwarp.lab.study.study_context import Plan
        from netwarp.lab.study.training import BaseTraining

    out = Path(options.out)
    on = device_named(options.device)
    asked = Experiment(
        plan=Plan(
            data=options.data,
            split=options.split,
            base=options.base,
            weights=options.weights,
            classes=options.classes,
            device=on,
            cache=out.parent / f"{out.name}-units",
        ),
        depths=options.depths,
        train_from=options.train_from,
        rows=tuple(options.rows or ()),
        seeds=options.seeds,
        recipe=QUICK if options.quick else Recipe(),
        base_training=None
        if options.train_base is None
        else BaseTraining(options.train_base, steps=options.base_steps),
    )
    jobs = options.jobs or (2 if on.startswith("cuda") else cores())
    with going_on_later():
        result = run_experiment(asked, out, jobs=jobs, progress=sys.stderr.isatty())
    say(result.table)
    say(f"\n{result.where_time_went}\n{', '.join(str(path) for path in result.files)}")


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@from_text
def count(text: str) -> int:
    """Read a number of things, at least 1.

    >>> count("3")
    3
    """
    if not text.isdecimal() or not 1 <= int(text) <= 10**6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


@from_text
def _layers(text: str) -> tuple[str, ...]:
    """Read ``--depths``.

    >>> _layers("encoder.b2,output")
    ('encoder.b2', 'output')
    """
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of layers with commas between them")
    return names
