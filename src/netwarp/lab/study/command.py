"""``netwarp experiment``: what NetWarp gains on labelled video, against controls."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from netwarp.cli.arguments import flag, local_place, option, whole_number
from netwarp.cli.models import device_named
from netwarp.cli.network_options import BaseOptions, DeviceOption, several_keyframes
from netwarp.cli.terminal import going_on_later, quiet_loading, say
from netwarp.errors import ConfigurationError

EXAMPLE = """\
examples:
  netwarp experiment --data camvid:DIR --base netwarp:espnet \\
      --weights espnet.pth --depths encoder.b2,encoder.b3,output \\
      --train-from encoder.b3 --out runs/camvid_15hz
  netwarp experiment --data streets:clips=12,frames=16 \\
      --base netwarp:streetnet --train-base streets:clips=64,frames=4 \\
      --depths at_quarter,at_eighth,output --out runs/streets
  netwarp experiment --data camvid:DIR --base netwarp:espnet \\
      --weights espnet.pth --keyframes 2,3,auto --out runs/keyframes
  netwarp experiment --quick

Two folds: trained on the first half of the labelled pairs and tested on the last, and the reverse.
Each row has a control: trained as long, with the same parameters of the network, but without memory.
Where the data knows its true flow (streets), rows with that flow show the ceiling.
With --keyframes and without --depths nothing is trained, and all of the data is tested on.
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


count = whole_number(1, 10**6)


def _layers(text: str) -> tuple[str, ...]:
    """Read ``--depths``.

    >>> _layers("encoder.b2,output")
    ('encoder.b2', 'output')
    """
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of layers with commas between them")
    return names


@dataclass(frozen=True, kw_only=True)
class Request(BaseOptions, DeviceOption):
    """What is asked for."""

    data: str | None = option("SPEC", "clips with labels: camvid:DIR, cityscapes:DIR, vspw:DIR, streets:…, folder:DIR")
    split: str | None = option("NAME", "which part of it (default: val)")
    train_base: str | None = option("SPEC", "data to train the network on first, frame by frame (its split 'train')")
    base_steps: int = option("N", "steps that this training takes (default: 450)", type=count, default=450)
    depths: tuple[str, ...] | None = option(
        "LAYER,…",
        "layers to try NetWarp at, the shallowest first, or output; 'netwarp layers' lists them",
        type=_layers,
    )
    train_from: str | None = option("LAYER", "in some rows, also train what runs behind this layer")
    keyframes: tuple[str, ...] | None = option(
        "WHICH,…",
        "rows without training in which the network runs on some frames, as for 'netwarp segment', such as 2,3,auto",
        type=several_keyframes,
    )
    rows: list[str] | None = option("NAME", "only these rows, and their controls", nargs="+")
    seeds: int | None = option("N", "repetitions of what is trained (default: 3)", type=count)
    out: str | None = option("PATH", "the files' common beginning (default: runs/experiment)", type=local_place)
    jobs: int | None = option("N", "processes of one thread (default: one for each core; 2 on a GPU)", type=count)
    quick: bool = flag(
        "one seed and two steps, on rendered streets unless --data says otherwise: to see that all of it runs"
    )


def run(request: Request) -> None:
    """Run the experiment; see the module."""
    ordinary: dict[str, Any] = _QUICK if request.quick else _ORDINARY
    missing = {name: value for name, value in ordinary.items() if getattr(request, name) is None}
    request = replace(request, **missing)
    if request.data is None or request.base is None or (request.depths is None and request.keyframes is None):
        name = next(name for name in ("data", "base", "depths") if getattr(request, name) is None)
        raise ConfigurationError(f"--{name} is missing: 'netwarp experiment --help' shows what to give", option=name)
    assert request.out is not None
    assert request.seeds is not None
    if request.train_base and request.weights:
        raise ConfigurationError("--weights and --train-base are both given: train the network, or load it")
    with quiet_loading(request.debug):
        from netwarp.inference.threads import cores_of_process
        from netwarp.lab.study.experiment import Experiment, run_experiment
        from netwarp.lab.study.rows import QUICK, Recipe
        from netwarp.lab.study.study_context import StudyInputs
        from netwarp.lab.study.training import BaseTraining

    out = Path(request.out)
    on = device_named(request.device)
    asked = Experiment(
        inputs=StudyInputs(
            data=request.data,
            split=request.split,
            base=request.base,
            weights=request.weights,
            classes=request.classes,
            device=on,
            cache=out.parent / f"{out.name}-units",
        ),
        depths=request.depths or (),
        keyframes=request.keyframes or (),
        train_from=request.train_from,
        rows=tuple(request.rows or ()),
        seeds=request.seeds,
        recipe=QUICK if request.quick else Recipe(),
        base_training=BaseTraining(request.train_base, steps=request.base_steps) if request.train_base else None,
    )
    jobs = request.jobs or (2 if on.startswith("cuda") else cores_of_process())
    with going_on_later():
        table, files = run_experiment(asked, out, jobs=jobs, progress=sys.stderr.isatty())
    say(f"{table}\n\n{', '.join(map(str, files))}")
