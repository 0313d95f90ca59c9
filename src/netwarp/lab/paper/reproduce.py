"""``netwarp reproduce`` from beginning to end: the network, the rows, their times, and the files that come out."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from netwarp.bases import load_base
from netwarp.datasets.clips import ClipData
from netwarp.datasets.registry import open_data
from netwarp.errors import ConfigurationError, unknown_name
from netwarp.flow import flow_source
from netwarp.lab.output import need_report, write_text
from netwarp.lab.paper import lines
from netwarp.lab.paper.class_table import class_lines, classes_table, draw_classes, markdown_classes
from netwarp.lab.paper.figures import draw_gains, make_crops, make_curves, make_flows
from netwarp.lab.paper.lines import Line
from netwarp.lab.paper.setups import NETWORKS, Asked, Setup, setup_for
from netwarp.lab.paper.tables import markdown_text, results_of, table_of
from netwarp.lab.paper.work import Made, Work, times_of
from netwarp.lab.study.build import build
from netwarp.lab.study.rows import Row
from netwarp.lab.study.runner import run_units
from netwarp.lab.study.store import Store, Unit, UnitScores, units_of
from netwarp.lab.study.study_context import StudyContext, StudyInputs
from netwarp.lab.study.training import trained_base
from netwarp.output_files import prepare_folder

_PERCENT = (
    "Percent, mean ± standard deviation over seeds; tIoU is IoU within 2 pixels of label changes, tc temporal "
    "consistency along DIS-medium flow."
)
NOISE = (
    "noise: twice the standard error of a difference in IoU, by chance in training (seeds, pooled over the lines) and "
    "by the choice of the test clips (jackknife); of many lines one in twenty is beyond it by chance."
)
_TIMES = (
    "ms a frame are medians of models that took turns, flow included, on this machine; the paper's are of a Titan X."
)


@dataclass(frozen=True)
class Target:
    """A table or figure of the paper."""

    title: str  # what it shows
    networks: tuple[str, ...]  # names of the networks that it can be made with, the paper's first
    # from the setup, whether the data's true flow is known, and RAFT as a flow or None, to its lines
    lines: Callable[[Setup, bool, str | None], list[Line]]
    make: Callable[[Work, Path], Made]  # from what was measured, and where the picture goes, to the rest
    caption: str  # what is to be known about its numbers
    timed: bool = False  # whether running times are taken


def _make_table(work: Work, path: Path) -> Made:
    results = results_of(work.lines, work.figures, work.milliseconds)
    draw_gains(results, work.title, path)
    table = table_of(results)
    return Made(markdown_text(table), table, (NOISE,))


def _make_classes(work: Work, path: Path) -> Made:
    base, netwarp = work.pair()
    lines_of_classes = class_lines(work.of(base), work.of(netwarp))
    draw_classes(lines_of_classes, work.title, path)
    return Made(markdown_classes(lines_of_classes), classes_table(lines_of_classes))


def _best(setup: Setup, *_: object) -> list[Line]:
    """The paper's final model alone."""
    return lines.final_model(setup)


_ANY = ("pspnet101", "playdata", "dilation8", "dilation10")
_VGG_FIRST = ("playdata", "pspnet101", "dilation8", "dilation10")
assert set(_ANY) == set(NETWORKS)

TARGETS: dict[str, Target] = {
    "table1": Target(
        "Table 1: NetWarp at nine places in PlayData-CNN",
        ("playdata",),
        lambda setup, *_: lines.table1(setup),
        _make_table,
        _PERCENT + " The paper's numbers: CamVid test.",
    ),
    "table2": Target(
        "Table 2: PlayData-CNN, NetWarp with other flow",
        ("playdata",),
        lambda setup, true_flow, raft: lines.table2(setup, true_flow=true_flow, raft=raft),
        _make_table,
        f"{_PERCENT} {_TIMES} The paper's numbers: CamVid test.",
        timed=True,
    ),
    "table3": Target(
        "Table 3: Dilation-CNN with NetWarp at its context layers",
        ("dilation8", "dilation10"),
        lambda setup, *_: lines.table3(setup),
        _make_table,
        f"{_PERCENT} {_TIMES} The paper's numbers: CamVid test.",
        timed=True,
    ),
    "table4": Target(
        "Table 4: PSPNet, single scale and multi-scale",
        ("pspnet101",),
        lambda setup, *_: lines.table4(setup),
        _make_table,
        f"{_PERCENT} iIoU weighs objects by their size. {_TIMES} The paper's numbers: Cityscapes val.",
        timed=True,
    ),
    "table5": Target(
        "Table 5: every class, multi-scale",
        ("pspnet101",),
        lambda setup, *_: lines.multi_scale(setup),
        _make_classes,
        "IoU in percent, mean over seeds. The paper's numbers: Cityscapes test.",
    ),
    "fig4": Target(
        "Figure 4: relative gain in tIoU by the width of the trimap",
        _ANY,
        lambda setup, *_: lines.table4(setup),
        make_curves,
        "Gain in percent of what the network has frame by frame, mean over seeds.",
    ),
    "fig5": Target(
        "Figure 5: flow before and after FlowCNN",
        _VGG_FIRST,
        _best,
        make_flows,
        "Lengths in pixels of the frame, means over it.",
    ),
    "fig6": Target(
        "Figure 6: frame, truth, frame by frame, NetWarp",
        _ANY,
        lambda setup, *_: lines.multi_scale(setup),
        make_crops,
        "First seed.",
    ),
}
"""By the name of the command's argument."""


log = logging.getLogger("netwarp")


@dataclass(frozen=True)
class Outcome:
    """What came out."""

    files: tuple[Path, ...]  # CSV, Markdown and PNG
    text: str  # the Markdown


def reproduce(
    name: str,
    asked: Asked,
    out: Path,
    *,
    rows: Sequence[str] = (),
    raft: Path | None = None,
    device: str = "cpu",
    jobs: int = 1,
    progress: bool = True,
) -> Outcome:
    """Make a table or figure of the paper anew, its numbers beside the paper's.

    What is trained and measured is kept in ``out/units``, row by row, and shared by all targets: killed at any moment
    and called again, it goes on where it was.
    """
    target = TARGETS[name]
    if jobs < 1:
        raise ConfigurationError(f"at least 1 job is needed, not {jobs}")
    need_report("a figure")
    setup = setup_for(target.networks, asked)
    units_folder = out / "units"
    test = open_data(*setup.test, cache=units_folder / "cache")
    lines = _chosen(target.lines(setup, _knows_flow(test), None if raft is None else f"raft:{raft}"), rows)
    measured = [line.row for line in lines if line.row is not None]
    _check(setup, measured)
    prepare_folder(out)
    plan = _plan(setup, units_folder, device, progress)
    with StudyContext(plan) as bench:
        if bench.doubts:
            log.warning("%s", bench.doubts)
        for row in measured:  # what cannot be built is said before the work
            build(row, bench.base).remove()
        store = Store(units_folder, bench.identity())
        figures = _run(units_of(measured, 1, setup.seeds), plan, store, jobs, progress, name)
        times = times_of(measured, bench, setup.timed_frames, store) if target.timed else {}
        title = f"{target.title} (quick run: the numbers mean nothing)" if asked.quick else target.title
        work = Work(title, setup, bench, store, lines, figures, times)
        made = target.make(work, out / f"{name}.png")
    text = _document(work, target, made)
    write_text(out / f"{name}.csv", made.table.round(4).to_csv(index=False))
    write_text(out / f"{name}.md", text)
    return Outcome(tuple(out / f"{name}.{ending}" for ending in ("md", "csv", "png")), text)


def _check(setup: Setup, rows: Sequence[Row]) -> None:
    """See, before minutes of training, that network and flows are to be had."""
    load_base(setup.base, setup.weights)
    for row in rows:
        flow_source(row.flow)


def _plan(setup: Setup, folder: Path, device: str, progress: bool) -> StudyInputs:
    """Data and network, which is trained first where it has no weights."""
    cache = folder / "cache"
    weights, classes = setup.weights, None
    if weights is None:
        log.info("reproduce: %s, frame by frame", setup.base)
        classes = open_data(*setup.train, cache=cache).classes.names
        how = setup.base_training
        weights = str(trained_base(setup.base, classes, how, folder, device, progress, cache=cache))
    return StudyInputs(
        data=setup.train[0],
        split=setup.train[1],
        base=setup.base,
        weights=weights,
        # Published weights have their own order, and the data follow it.
        classes=classes,
        device=device,
        cache=cache,
        test=setup.test[0],
        test_split=setup.test[1],
        # As far back as the deepest of its memories reaches, and a frame more for consistency.
        history=len(setup.network.best) + 1,
        dropout=setup.base_training.dropout,
    )


def _knows_flow(data: ClipData) -> bool:
    return all(frame.flow is not None for clip in data.clips for frame in clip.frames[1:])


def _chosen(lines: Sequence[Line], names: Sequence[str]) -> list[Line]:
    """The lines of these names, and what they are compared with."""
    if not names:
        return list(lines)
    known = [line.name for line in lines]
    for name in names:
        if name not in known:
            raise unknown_name("line of this table", name, known)
    return [line for line in lines if line.name in names or line.kind in ("base", "control")]


def _run(
    units: Sequence[Unit], plan: StudyInputs, store: Store, jobs: int, progress: bool, name: str
) -> list[UnitScores]:
    numbers = itertools.count(1)
    with tqdm(total=len(units), desc=name, unit="row", disable=not progress) as bar:

        def note(figures: UnitScores) -> None:
            bar.update()
            log.info(
                "%s: %d/%d %s, seed %d: IoU %.2f, tIoU %.2f, tc %.2f (%.0f s)",
                name, next(numbers), len(units), figures.row, figures.seed,
                figures.miou, figures.tiou[2], figures.tc, sum(figures.seconds.values()),
            )  # fmt: skip

        return run_units(units, plan, store, jobs, note)


def _document(work: Work, target: Target, made: Made) -> str:
    notes = [line.note for line in work.lines if line.note]
    setup = work.setup
    trained = (
        f"weights {Path(setup.weights).name}"
        if setup.weights
        else f"trained here first, {setup.base_training.steps} steps of {setup.base_training.batch_size} frames"
    )
    test = work.bench.folds[0].test
    frames = len(test.samples())
    caption = [
        f"{setup.base} ({trained}) on {setup.train[0]}, tested as a stream on {frames} labelled frames of "
        f"{setup.test[0]}, split {setup.test[1]}. Rows: {setup.recipe.steps} steps of {setup.recipe.batch_size} pairs, "
        f"the whole network with them, {setup.seeds} seed{'s' if setup.seeds > 1 else ''}. {target.caption}"
    ]
    parts = [f"# {work.title}", made.markdown, "\n".join(f"- {line}" for line in [*made.notes, *notes]), *caption]
    return "\n\n".join(part for part in parts if part) + "\n"
