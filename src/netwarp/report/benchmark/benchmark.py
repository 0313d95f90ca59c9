"""``netwarp benchmark`` from beginning to end: what is asked for is checked, measured, printed and written."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

from netwarp.atomic import written_whole
from netwarp.data.output_path import prepare_file
from netwarp.errors import OutputError
from netwarp.report.benchmark.asked import Asked
from netwarp.report.benchmark.check import check
from netwarp.report.benchmark.document import Measured, document, heading
from netwarp.report.benchmark.machine import machine
from netwarp.report.benchmark.own_process import Apart, Tell, in_own_process
from netwarp.report.benchmark.parts import PARTS
from netwarp.report.benchmark.plot import draw
from netwarp.report.benchmark.tables import part_text
from netwarp.report.experiment.drawing import new_figure

__all__ = ["benchmark"]

log = logging.getLogger("netwarp")


def benchmark(
    asked: Asked,
    *,
    say: Callable[[str], None],
    tell: Tell = lambda _: None,
    json_file: Path | None = None,
    plot: Path | None = None,
    apart: Apart | None = None,
) -> Measured:
    """Measure, and print and write what was found.

    Tables are printed part by part. Where Ctrl-C or an error ends the work, what was measured until then is printed and
    written all the same.

    Args:
        asked: What is to be measured.
        say: Prints a result.
        tell: Called with what is being done.
        json_file: Where the figures go as JSON; written after each part.
        plot: PNG file for the picture.
        apart: Runs what has to have a process of its own; by default :func:`in_own_process`.

    Returns:
        All that was measured.

    Raises:
        ConfigurationError: Something asked for makes no sense; nothing was done.
        OutputError: A file cannot be written.
        MissingExtraError: Matplotlib is not installed, and a plot was asked for.
        NetWarpError: Something could not be measured.
        KeyboardInterrupt: Ctrl-C, with a text that says where things are.
    """
    _check_places(json_file, plot)
    check(asked)
    measured = Measured(asked, machine(asked.device, asked.threads))
    minutes = max(1, round(asked.minutes))
    log.info("%s: about %s on two cores", ", ".join(asked.parts), "a minute" if minutes == 1 else f"{minutes} minutes")
    say(heading(measured))
    part = asked.parts[0]
    try:
        for part in asked.parts:
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


def _measure(part: str, measured: Measured, say: Callable[[str], None], tell: Tell, apart: Apart) -> None:
    began = time.perf_counter()
    rows = measured.rows.setdefault(part, [])
    for row in PARTS[part](measured.asked, lambda text: tell(f"{part}: {text}"), apart):
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
    with written_whole(path) as file:
        file.write((json.dumps(document(measured), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())
