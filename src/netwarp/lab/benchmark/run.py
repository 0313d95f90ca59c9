"""``netwarp benchmark`` from beginning to end: what is asked for is checked, measured, printed and written."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from netwarp.bases import load_base
from netwarp.datasets.registry import open_data
from netwarp.errors import ConfigurationError, InputError, OutputError, unknown_name
from netwarp.flow import make_flow
from netwarp.lab.benchmark.flow import measure_flow
from netwarp.lab.benchmark.harness import Progress, Runner, in_own_process
from netwarp.lab.benchmark.many_streams import measure_memory, measure_together
from netwarp.lab.benchmark.networks import NETWORKS
from netwarp.lab.benchmark.plan import BenchmarkPlan
from netwarp.lab.benchmark.plot import draw
from netwarp.lab.benchmark.results import Measured, Row, document, heading
from netwarp.lab.benchmark.stream import measure_stream
from netwarp.lab.benchmark.tables import part_text
from netwarp.lab.benchmark.warp import DTYPES, measure_warp
from netwarp.lab.machine import machine
from netwarp.lab.output import new_figure
from netwarp.model import VideoModel
from netwarp.output_files import prepare_file, write_file

Measure = Callable[[BenchmarkPlan, Progress, Runner], Iterator[Row]]
"""Yields rows as they are done; told what is being done, and how to do it in another process."""

PARTS: dict[str, Measure] = {
    "warp": measure_warp,
    "stream": measure_stream,
    "streams": measure_together,
    "memory": measure_memory,
    "flow": measure_flow,
}


log = logging.getLogger("netwarp")


def benchmark(
    plan: BenchmarkPlan,
    *,
    say: Callable[[str], None],
    tell: Progress = lambda _: None,
    json_file: Path | None = None,
    plot: Path | None = None,
    apart: Runner | None = None,
) -> Measured:
    """Measure, and print and write what was found.

    Tables are printed part by part. Where Ctrl-C or an error ends the work, what was measured until then is printed and
    written all the same.
    """
    _check_places(json_file, plot)
    check(plan)
    measured = Measured(plan, machine(plan.device, plan.threads))
    minutes = max(1, round(plan.minutes))
    log.info("%s: about %s on two cores", ", ".join(plan.parts), "a minute" if minutes == 1 else f"{minutes} minutes")
    say(heading(measured))
    part = plan.parts[0]
    try:
        for part in plan.parts:
            _measure(part, measured, say, tell, apart or in_own_process)
            if json_file is not None:
                _write_json(measured, json_file)
    except BaseException as error:
        places = _finish(measured, part, say, json_file, plot)
        if isinstance(error, KeyboardInterrupt):
            kept = f"what was measured is printed{places}" if measured.any else "nothing was measured"
            raise KeyboardInterrupt(f"interrupted in part {part!r}: {kept}") from error
        raise
    if plot is not None:
        draw(measured, plot)
    return measured


def _check_places(json_file: Path | None, plot: Path | None) -> None:
    if plot is not None:
        if plot.suffix.lower() != ".png":
            raise OutputError(f"the plot is a PNG file: name it {plot.with_suffix('.png')} instead of {plot}")
        new_figure(1, 1)  # without Matplotlib say so now
    if json_file is not None and json_file == plot:
        raise OutputError(f"JSON and plot cannot both be {plot}: choose two names")
    for place in (json_file, plot):
        if place is not None:
            prepare_file(place)


def _measure(part: str, measured: Measured, say: Callable[[str], None], tell: Progress, apart: Runner) -> None:
    began = time.perf_counter()
    rows = measured.rows.setdefault(part, [])
    for row in PARTS[part](measured.plan, lambda text: tell(f"{part}: {text}"), apart):
        rows.append(row)
    measured.seconds[part] = time.perf_counter() - began
    say(f"\n{part_text(part, rows)}")
    log.info("%s took %.0f s", part, measured.seconds[part])


def _finish(
    measured: Measured, part: str, say: Callable[[str], None], json_file: Path | None, plot: Path | None
) -> str:
    """Print and write what there is of a part that was cut off; where it is, in words."""
    if not measured.any:
        return ""
    if measured.rows.get(part) and part not in measured.seconds:
        say(f"\n{part_text(part, measured.rows[part])}\n\nCut off: there is more to this part.")
    if json_file is not None:
        _write_json(measured, json_file)
    if plot is not None:
        draw(measured, plot)
    return "".join(f", and in {place}" for place in (json_file, plot) if place is not None)


def _write_json(measured: Measured, path: Path) -> None:
    write_file(path, json.dumps(document(measured), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def check(plan: BenchmarkPlan) -> None:
    """Raise for what is asked for and cannot be measured."""
    for kind, names, known in (
        ("part", plan.parts, list(PARTS)),
        ("network", (*plan.networks, *plan.weights), list(NETWORKS)),
        ("dtype", plan.dtypes, list(DTYPES)),
    ):
        for name in names:
            if name not in known:
                raise unknown_name(kind, name, known)
    if not plan.parts:
        raise ConfigurationError("nothing to measure: name a part, or leave all out")
    if plan.cpu_time and plan.device != "cpu":
        raise ConfigurationError("--cpu-time goes with --device cpu: a GPU's work takes none")
    make_flow(plan.flow)
    if "flow" in plan.parts:
        _check_quality(plan)
    for name, weights in plan.weights.items():
        load_base(NETWORKS[name].spec, weights)


def _check_quality(plan: BenchmarkPlan) -> None:
    if plan.raft is not None:
        make_flow(f"raft:{plan.raft}")
    if plan.data is None:
        if plan.base is not None or plan.base_weights is not None:
            raise ConfigurationError("--base goes with --data, labelled clips that show what each flow is worth")
        return
    if plan.base is None:
        raise ConfigurationError("--data is there for the quality of flow, and needs a network: give --base SPEC")
    data = open_data(plan.data, plan.split)
    if not any(frame.labels is not None for clip in data.clips for frame in clip.frames):
        raise InputError(f"{data.name} has no labelled frames: there is no quality to measure")
    VideoModel(load_base(plan.base, plan.base_weights), [])
