"""``netwarp experiment`` from beginning to end: rows, units, times, and the files that come out."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from netwarp._version import __version__
from netwarp.datasets.clips import Clip, ClipData
from netwarp.errors import ConfigurationError
from netwarp.evaluation.evaluate import evaluate
from netwarp.lab.machine import machine
from netwarp.lab.output import new_figure
from netwarp.lab.study.build import build, tested_model
from netwarp.lab.study.figures import ComparedClip, compared_clips, draw_crops, draw_curves, draw_prices
from netwarp.lab.study.folds import knows_flow
from netwarp.lab.study.rows import BASE, Recipe, Row, chosen, keyframe_rows, standard_rows
from netwarp.lab.study.store import FORMAT, Store, Unit, plain, units_of
from netwarp.lab.study.study_context import StudyContext, StudyInputs, run_units
from netwarp.lab.study.summary import experiment_table, summarise
from netwarp.lab.study.training import BaseTraining, trained_base
from netwarp.output_files import write_file
from netwarp.output_places import prepare_folder

log = logging.getLogger("netwarp")

TIMED_FRAMES = 15

CAPTION = (
    "Mean ± standard deviation over folds and seeds, in percent; tIoU is IoU within 2 pixels of label changes, tc "
    "temporal consistency along DIS-medium flow; ms a frame are medians of models that took turns. Gained is the "
    "difference to the row's control, fold by fold and seed by seed, or to frame by frame where it has none, with the "
    "interval that holds 95 % of 300 draws of blocks of ten frames. A control is trained as long on the same labels, "
    "with every w2 held at 0."
)


@dataclass(frozen=True)
class Experiment:
    """What is asked for."""

    inputs: StudyInputs  # data and network
    depths: Sequence[str]  # layers from the shallowest to the deepest
    train_from: str | None = None  # A layer: in some rows what runs behind it is trained too
    rows: Sequence[str] = ()  # names of the rows to do; empty for all
    seeds: int = 3  # how many
    recipe: Recipe = field(default_factory=Recipe)  # how rows are trained
    base_training: BaseTraining | None = None  # how the network is trained first; None where it has weights
    keyframes: Sequence[str] = ()  # of rows without training; alone, without depths, on the whole of the data


def run_experiment(asked: Experiment, out: Path, *, jobs: int = 1, progress: bool = True) -> tuple[str, list[Path]]:
    """Train and test every row on both folds with several seeds; gives the table in Markdown, and what was written.

    Beside ``out.json``, ``out.md``, ``out-tiou.png`` and ``out-crops.png`` there is a folder ``out-units``, from which
    a command that was cut off goes on; only rows that were changed are done again.
    """
    if asked.seeds < 1 or jobs < 1:
        raise ConfigurationError(f"at least 1 seed and 1 job are needed, not {asked.seeds} and {jobs}")
    new_figure(1, 1)  # without Matplotlib say so now
    seconds: dict[str, float] = {}
    folder = out.parent / f"{out.name}-units"
    inputs = asked.inputs
    if asked.base_training is not None:
        prepare_folder(out.parent)
        log.info("experiment: the network, frame by frame")
        with _timed(seconds, "the network"):
            weights = trained_base(inputs.base, inputs.classes, asked.base_training, folder, inputs.device, progress)
        inputs = replace(inputs, weights=str(weights))
    if not asked.depths:  # nothing is trained, and all can be tested on
        inputs = replace(inputs, test=inputs.data, test_split=inputs.split)
    context = StudyContext(inputs)
    if context.doubts:
        log.warning("%s", context.doubts)
    rows = keyframe_rows(asked.keyframes) if asked.keyframes else ()
    if asked.depths or not rows:
        known = {row.name for row in rows}
        others = standard_rows(asked.depths, asked.train_from, true_flow=knows_flow(context.data), recipe=asked.recipe)
        rows += tuple(row for row in others if row.name not in known)
    if asked.rows:
        rows = chosen(rows, asked.rows)
    models = {row.name: build(row, context.base) for row in rows}  # what cannot be built is said before the work
    prepare_folder(out.parent)
    store = Store(folder, context.identity())
    with _timed(seconds, "rows"):
        wanted = units_of(rows, len(context.folds), asked.seeds)
        units = run_units(wanted, inputs, store, jobs=jobs, name="experiment", progress=progress)
    with _timed(seconds, "times"):
        test = context.folds[0].test
        # Where keyframes are is not known from the beginning.
        frames = test.clips[0].frames[: None if asked.keyframes else TIMED_FRAMES]
        tested = {row.name: tested_model(row, models[row.name]) for row in rows}
        settings: dict[str, Any] = {
            name: {row.name: getattr(row, name) for row in rows} for name in ("keyframes", "edges", "offline")
        }
        beginning = replace(test, clips=(Clip(test.clips[0].name, frames),))
        timed = evaluate(tested, beginning, windows=(), **settings)
    summaries = summarise(rows, units, timed)
    files = [out.parent / f"{out.name}{end}" for end in (".json", ".md", "-tiou.png", "-crops.png")]
    seeds = f", 2 folds, seeds: {asked.seeds}" if asked.depths else ""
    title = f"{context.data.name}, {inputs.base}{seeds}"
    with _timed(seconds, "pictures"):
        draw_curves(rows, units, title, files[2])
        _draw_crops(rows, context, store, files[3])
        if asked.keyframes:
            files.append(out.parent / f"{out.name}-price.png")
            draw_prices(summaries, title, files[4])
    table = experiment_table(summaries)
    write_file(files[1], f"{table}\n\n{title}. {CAPTION}\n")
    asked_for = {name: getattr(asked, name) for name in ("depths", "train_from", "keyframes", "seeds")}
    training = None if asked.base_training is None else asdict(asked.base_training)
    values = {
        "format": FORMAT,
        "netwarp": __version__,
        "data": context.data.name,
        "base": inputs.base,
        "folds": [{"train": _half(fold.train), "test": _half(fold.test)} for fold in context.folds],
        "settings": {"jobs": jobs, **asked_for, "base_training": training},
        "rows": summaries,
        "units": [{name: value for name, value in vars(unit).items() if name != "resampled"} for unit in units],
        "seconds": seconds,
        "machine": machine(inputs.device),
    }
    write_file(files[0], json.dumps(plain(values, digits=4), indent=1, ensure_ascii=False) + "\n")
    return table, files


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[stage] = round(time.perf_counter() - began, 1)


def _draw_crops(rows: Sequence[Row], context: StudyContext, store: Store, path: Path) -> None:
    """Of the last row that is drawn, with the first seed."""
    base = next(row for row in rows if row.name == BASE)
    row = next((row for row in reversed(rows) if row.drawn), base)
    shown: list[ComparedClip] = []
    for fold in context.folds:
        shown += compared_clips(fold.test, *(store.pictures(Unit(each, fold.number, 0)) for each in (base, row)))
    draw_crops(shown, context.data.classes, row.name, path)


def _half(data: ClipData) -> dict[str, Any]:
    names = [frame.name for clip in data.clips for frame in clip.frames if frame.labels is not None]
    return {"pairs": len(names), "from": names[0], "to": names[-1]}
