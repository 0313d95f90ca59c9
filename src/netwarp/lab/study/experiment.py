"""``netwarp experiment`` from beginning to end: rows, units, times, and the files that come out."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from tqdm import tqdm

from netwarp.datasets.clips import Clip, ClipData
from netwarp.errors import ConfigurationError
from netwarp.evaluation.evaluate import evaluate
from netwarp.lab.output import new_figure, write_text
from netwarp.lab.study.build import build
from netwarp.lab.study.figures import ComparedClip, compared_clips, draw_crops, draw_curves
from netwarp.lab.study.report import caption, document, experiment_table, spread_over, where_time_went
from netwarp.lab.study.rows import BASE, Recipe, Row, chosen, standard_rows
from netwarp.lab.study.runner import run_units
from netwarp.lab.study.store import Store, Unit, UnitScores, units_of
from netwarp.lab.study.study_context import Clock, StudyContext, StudyInputs
from netwarp.lab.study.summary import summarise
from netwarp.lab.study.training import BaseTraining, trained_base
from netwarp.output_files import prepare_folder

log = logging.getLogger("netwarp")

TIMED_FRAMES = 15


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


@dataclass(frozen=True)
class Result:
    """What came out."""

    files: tuple[Path, ...]  # JSON, Markdown, and two pictures
    table: str  # the Markdown
    where_time_went: str  # in words


def run_experiment(asked: Experiment, out: Path, *, jobs: int = 1, progress: bool = True) -> Result:
    """Train and test every row on both folds with several seeds, and write what comes out.

    Beside ``out.json``, ``out.md``, ``out-tiou.png`` and ``out-crops.png`` there is a folder ``out-units``, from which
    a command that was cut off goes on; only rows that were changed are done again.
    """
    if asked.seeds < 1 or jobs < 1:
        raise ConfigurationError(f"at least 1 seed and 1 job are needed, not {asked.seeds} and {jobs}")
    new_figure(1, 1)  # without Matplotlib say so now
    clock = Clock()
    folder = out.parent / f"{out.name}-units"
    inputs = asked.inputs
    if asked.base_training is not None:
        prepare_folder(out.parent)
        log.info("experiment: the network, frame by frame")
        with clock.timed("the network"):
            weights = trained_base(inputs.base, inputs.classes, asked.base_training, folder, inputs.device, progress)
        inputs = replace(inputs, weights=str(weights))
    context = StudyContext(inputs)
    if context.doubts:
        log.warning("%s", context.doubts)
    rows = standard_rows(asked.depths, asked.train_from, true_flow=_knows_flow(context.data), recipe=asked.recipe)
    if asked.rows:
        rows = chosen(rows, asked.rows)
    models = {row.name: build(row, context.base) for row in rows}  # what cannot be built is said before the work
    prepare_folder(out.parent)
    store = Store(folder, context.identity())
    units = units_of(rows, len(context.folds), asked.seeds)
    with clock.timed("rows"):
        figures = _run(units, inputs, store, jobs, progress)
    with clock.timed("times"):
        scores = evaluate(models, _short(context.folds[0].test), windows=())
    summaries = summarise(rows, figures, {name: score["ms_per_frame"] for name, score in scores.items()})
    files = tuple(out.parent / f"{out.name}{end}" for end in (".json", ".md", "-tiou.png", "-crops.png"))
    with clock.timed("pictures"):
        draw_curves(rows, figures, f"{context.data.name}, {inputs.base}, {spread_over(asked.seeds)}", files[2])
        _draw_crops(rows, context, store, files[3])
    table = experiment_table(summaries)
    settings = {"jobs": jobs, "depths": list(asked.depths), "train_from": asked.train_from, "seeds": asked.seeds}
    settings["base_training"] = None if asked.base_training is None else asdict(asked.base_training)
    values = document(context, settings, summaries, figures, clock.seconds)
    write_text(files[1], f"{table}\n\n{caption(context, asked.seeds)}\n")
    write_text(files[0], json.dumps(values, indent=1, ensure_ascii=False) + "\n")
    return Result(files, table, where_time_went(figures, clock.seconds))


def _run(units: Sequence[Unit], inputs: StudyInputs, store: Store, jobs: int, progress: bool) -> list[UnitScores]:
    numbers = itertools.count(1)
    with tqdm(total=len(units), desc="Experiment", unit="unit", disable=not progress) as bar:

        def note(figures: UnitScores) -> None:
            bar.update()
            log.info(
                "experiment: %d/%d %s, fold %d, seed %d: IoU %.2f, tIoU %.2f, tc %.2f (%.0f s)",
                next(numbers), len(units), figures.row, figures.fold + 1, figures.seed,
                figures.miou, figures.tiou[2], figures.tc, sum(figures.seconds.values()),
            )  # fmt: skip

        return run_units(units, inputs, store, jobs, note)


def _knows_flow(data: ClipData) -> bool:
    return all(frame.flow is not None for clip in data.clips for frame in clip.frames[1:])


def _short(data: ClipData) -> ClipData:
    """The beginning of the first clip, for taking times."""
    clip = data.clips[0]
    return replace(data, clips=(Clip(clip.name, clip.frames[:TIMED_FRAMES]),))


def _draw_crops(rows: Sequence[Row], context: StudyContext, store: Store, path: Path) -> None:
    """Of the last row that is drawn, with the first seed."""
    base = next(row for row in rows if row.name == BASE)
    row = next((row for row in reversed(rows) if row.drawn), base)
    shown: list[ComparedClip] = []
    for fold in context.folds:
        shown += compared_clips(fold.test, *(store.pictures(Unit(each, fold.number, 0)) for each in (base, row)))
    draw_crops(shown, context.data.classes, row.name, path)
