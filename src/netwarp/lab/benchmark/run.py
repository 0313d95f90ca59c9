"""``netwarp benchmark`` from beginning to end: what is asked for is checked, measured, printed and written."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from netwarp.bases import load_base
from netwarp.datasets.registry import open_data
from netwarp.errors import ConfigurationError, InputError, OutputError
from netwarp.flow import make_flow
from netwarp.lab.benchmark.engines import measure_engines
from netwarp.lab.benchmark.flow import measure_flow
from netwarp.lab.benchmark.many_streams import measure_memory, measure_streams
from netwarp.lab.benchmark.networks import NETWORKS
from netwarp.lab.benchmark.own_process import Progress, Runner, in_own_process
from netwarp.lab.benchmark.plan import Request, check_request
from netwarp.lab.benchmark.plot import figure_of
from netwarp.lab.benchmark.stream import measure_stream
from netwarp.lab.benchmark.tables import Figures, Found, part_text
from netwarp.lab.benchmark.warp import measure_warp
from netwarp.lab.machine import machine
from netwarp.lab.output import new_figure, save_figure
from netwarp.model import VideoModel
from netwarp.output_files import write_file
from netwarp.output_places import prepare_file

PARTS: dict[str, Callable[[Request, Progress, Runner], Iterator[Found]]] = {
    "warp": measure_warp,
    "stream": measure_stream,
    "streams": measure_streams,
    "memory": measure_memory,
    "flow": measure_flow,
    "engines": measure_engines,
}
"""Each yields rows as they are done; told what is being done, and how to do it in another process."""

log = logging.getLogger("netwarp")


def benchmark(request: Request, *, say: Callable[[str], None], tell: Progress = lambda _: None) -> Figures:
    """Measure, and print and write what was found.

    Tables are printed part by part. Where Ctrl-C or an error ends the work, what was measured until then is printed and
    written all the same.
    """
    json_file, plot = (None if place is None else Path(place) for place in (request.json, request.plot))
    _check_places(json_file, plot)
    check(request)
    figures = Figures(request, machine(request.device, request.threads))
    minutes = max(1, round(request.minutes))
    about = "a minute" if minutes == 1 else f"{minutes} minutes"
    log.info("%s: about %s on two cores", ", ".join(request.measured), about)
    say(figures.heading)
    part = request.measured[0]
    try:
        for part in request.measured:
            _measure(part, request, figures, tell)
            say(f"\n{part_text(part, figures.tables(part))}")
            log.info("%s took %.0f s", part, figures.parts[part]["seconds"])
            _write(figures, json_file, None)
    except BaseException as error:
        places = _finish(figures, part, say, json_file, plot)
        if isinstance(error, KeyboardInterrupt):
            kept = f"what was measured is printed{places}" if figures.any else "nothing was measured"
            raise KeyboardInterrupt(f"interrupted in part {part!r}: {kept}") from error
        raise
    _write(figures, None, plot)
    return figures


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


def _measure(part: str, request: Request, figures: Figures, tell: Progress) -> None:
    def told(text: str) -> None:
        tell(f"{part}: {text}")

    began = time.perf_counter()
    figures.begin(part)
    for table, row in PARTS[part](request, told, partial(in_own_process, told, request.threads)):
        figures.add(part, table, row)
    figures.parts[part]["seconds"] = float(f"{time.perf_counter() - began:.6g}")


def _finish(figures: Figures, part: str, say: Callable[[str], None], json_file: Path | None, plot: Path | None) -> str:
    """Print and write what there is of a part that was cut off; where it is, in words."""
    if not figures.any:
        return ""
    if figures.tables(part) and figures.parts[part]["seconds"] is None:
        say(f"\n{part_text(part, figures.tables(part))}\n\nCut off: there is more to this part.")
    _write(figures, json_file, plot)
    return "".join(f", and in {place}" for place in (json_file, plot) if place is not None)


def _write(figures: Figures, json_file: Path | None, plot: Path | None) -> None:
    if json_file is not None:
        text = json.dumps(figures.document, indent=2, ensure_ascii=False, allow_nan=False)
        write_file(json_file, text + "\n")
    if plot is not None:
        save_figure(figure_of(figures), plot)


def check(request: Request) -> None:
    """Raise for what is asked for and cannot be measured."""
    check_request(request)
    if request.cpu_time and request.device != "cpu":
        raise ConfigurationError("--cpu-time goes with --device cpu: a GPU's work takes none")
    make_flow(request.flow)
    if request.raft is not None:
        make_flow(f"raft:{request.raft}")
    files = request.weight_files
    if request.data is not None and request.base is not None:
        data = open_data(request.data, request.split)
        if not any(frame.labels is not None for clip in data.clips for frame in clip.frames):
            raise InputError(f"{data.name} has no labelled frames: there is no quality to measure")
        VideoModel(load_base(request.base, files.get("")), [])
    for name, weights in files.items():
        if name:
            load_base(NETWORKS[name].spec, weights)
