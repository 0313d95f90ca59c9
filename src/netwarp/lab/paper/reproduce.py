"""``netwarp reproduce`` from beginning to end: the network, the rows, their times, and the files that come out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from netwarp.bases import load_base
from netwarp.cli.arguments import names_of
from netwarp.cli.models import device_named
from netwarp.datasets.clips import ClipData
from netwarp.datasets.registry import open_data
from netwarp.errors import unknown_name
from netwarp.evaluation.clip_reader import runs_of
from netwarp.flow import PrecomputedFlow, flow_source
from netwarp.inference.threads import cores_of_process
from netwarp.lab.output import need
from netwarp.lab.paper import lines
from netwarp.lab.paper.class_table import better_classes, classes_table, draw_classes, markdown_classes
from netwarp.lab.paper.figures import make_crops, make_curves, make_flows
from netwarp.lab.paper.lines import Line
from netwarp.lab.paper.measured import Measured, Report, times_of
from netwarp.lab.paper.request import Request
from netwarp.lab.paper.setups import Setup, departures, setup_for
from netwarp.lab.paper.tables import draw_gains, markdown_text, table_of
from netwarp.lab.study.build import build
from netwarp.lab.study.folds import knows_flow, one_fold
from netwarp.lab.study.store import Store, units_of
from netwarp.lab.study.study_context import LENGTH_OF_VIDEOS, StudyContext, StudyInputs, run_units
from netwarp.lab.study.training import trained_base
from netwarp.output_files import write_file
from netwarp.output_places import prepare_folder

_PERCENT = (
    "Percent, mean ± standard deviation over seeds; tIoU is IoU within 2 pixels of label changes, tc temporal "
    "consistency along DIS-medium flow."
)
_NOISE = (
    "noise: twice the standard error of a difference in IoU, by chance in training (seeds, pooled over the lines) and "
    "by the choice of the test clips (jackknife); of many lines one in twenty is beyond it by chance."
)
_TIMES = (
    "ms a frame are medians of models that took turns, flow included, on this machine; the paper's are of a Titan X."
)
_CAMVID, _CITYSCAPES = "The paper's numbers: CamVid test.", "The paper's numbers: Cityscapes"


@dataclass(frozen=True)
class Target:
    """A table or figure of the paper."""

    title: str  # what it shows
    networks: tuple[str, ...]  # names of the networks that it can be made with, the paper's first
    lines: Callable[[Setup], list[Line]]  # what is measured
    make: Callable[[Measured, Path], Report]  # from what was measured, and where the picture goes, to the rest
    caption: str  # what is to be known about its numbers
    timed: bool = False  # whether running times are taken


def _make_table(measured: Measured, path: Path) -> Report:
    table = table_of(measured.lines, measured.figures, measured.milliseconds)
    draw_gains(table, measured.title, path)
    return Report(markdown_text(table), table, (_NOISE,))


def _make_classes(measured: Measured, path: Path) -> Report:
    base, netwarp = measured.pair()
    table = classes_table(measured.of(base.name), measured.of(netwarp.name))
    draw_classes(table, measured.title, path)
    return Report(markdown_classes(table), table, better_classes(table))


_PSPNET_FIRST = ("pspnet101", "playdata", "dilation8", "dilation10")
_PLAYDATA_FIRST = ("playdata", "pspnet101", "dilation8", "dilation10")

TARGETS: dict[str, Target] = {
    "table1": Target(
        "Table 1: NetWarp at nine places in PlayData-CNN", ("playdata",),
        lines.table1, _make_table, f"{_PERCENT} {_CAMVID}",
    ),
    "table2": Target(
        "Table 2: PlayData-CNN, NetWarp with other flow", ("playdata",),
        lines.table2, _make_table, f"{_PERCENT} {_TIMES} {_CAMVID}", timed=True,
    ),
    "table3": Target(
        "Table 3: Dilation-CNN with NetWarp at its context layers", ("dilation8", "dilation10"),
        lines.table3, _make_table, f"{_PERCENT} {_TIMES} {_CAMVID}", timed=True,
    ),
    "table4": Target(
        "Table 4: PSPNet, single scale and multi-scale", ("pspnet101",),
        lines.table4, _make_table, f"{_PERCENT} iIoU weighs objects by their size. {_TIMES} {_CITYSCAPES} val.",
        timed=True,
    ),
    "table5": Target(
        "Table 5: every class, multi-scale", ("pspnet101",),
        lines.multi_scale, _make_classes,
        f"Percent, mean over seeds; tIoU is within 2 pixels of label changes. {_CITYSCAPES} test.",
    ),
    "fig4": Target(
        "Figure 4: relative gain in tIoU by the width of the trimap", _PSPNET_FIRST,
        lines.table4, make_curves, "Gain in percent of what the network has frame by frame, mean over seeds.",
    ),
    "fig5": Target(
        "Figure 5: flow before and after FlowCNN", _PLAYDATA_FIRST,
        lines.final_model, make_flows, "Lengths in pixels of the frame, means over it.",
    ),
    "fig6": Target(
        "Figure 6: frame, truth, frame by frame, NetWarp", _PSPNET_FIRST,
        lines.multi_scale, make_crops, "First seed.",
    ),
}  # fmt: skip
"""By the name of the command's argument."""


log = logging.getLogger("netwarp")


def reproduce(request: Request, *, progress: bool = True) -> tuple[str, list[Path]]:
    """Make a table or figure of the paper anew, its numbers beside the paper's; gives its text, and what was written.

    What is trained and measured is kept in ``out/units``, row by row, and shared by all targets: killed at any moment
    and called again, it goes on where it was.
    """
    name, target, device = request.target, TARGETS[request.target], device_named(request.device)
    out = Path(request.out or ("runs/reproduce-quick" if request.quick else "runs/reproduce"))
    for library in ("matplotlib", "pandas"):
        need(library, library, "report", "a figure")
    if request.crf:
        need("pydensecrf", "pydensecrf2", "crf", "a dense CRF")
    setup = setup_for(target.networks, request)
    train, test = (
        open_data(*part, length=LENGTH_OF_VIDEOS, cache=out / "units" / "cache") for part in (setup.train, setup.test)
    )
    one_fold(train, test)  # what has no pairs is said before the network is trained
    setup = replace(setup, true_flow=knows_flow(test))
    lines = _chosen(target.lines(setup), request.rows or ())
    rows = [line.row for line in lines if line.row is not None]
    # Before minutes of training, see that network and flows are to be had.
    load_base(setup.base, setup.weights or setup.base_training.weights)
    for row in rows:
        _check_flow(row.flow, train, test, _history(setup))
    prepare_folder(out)
    inputs = _inputs(setup, out / "units", device, progress)
    with StudyContext(inputs) as context:
        if context.doubts:
            log.warning("%s", context.doubts)
        for row in rows:  # what cannot be built is said before the work
            build(row, context.base).remove()
        store = Store(out / "units", context.identity())
        jobs = request.jobs or (1 if device.startswith("cuda") else cores_of_process())
        figures = run_units(units_of(rows, 1, setup.seeds), inputs, store, jobs=jobs, name=name, progress=progress)
        times = times_of(rows, context, setup.timed_frames, store) if target.timed else {}
        title = f"{target.title} (quick run: the numbers mean nothing)" if request.quick else target.title
        measured = Measured(title, setup, context, store, lines, figures, times)
        report = target.make(measured, out / f"{name}.png")
    text = _document(measured, target, report)
    write_file(out / f"{name}.csv", report.table.round(4).to_csv(index=False))
    write_file(out / f"{name}.md", text)
    return text, [out / f"{name}.{ending}" for ending in ("md", "csv", "png")]


def _inputs(setup: Setup, folder: Path, device: str, progress: bool) -> StudyInputs:
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
        history=_history(setup),
        dropout=setup.base_training.dropout,
        size=setup.size,
    )


def _history(setup: Setup) -> int:
    """As far back as the deepest of its memories reaches, and a frame more for consistency."""
    return len(setup.network.best) + 1


def _check_flow(spec: str, train: ClipData, test: ClipData, history: int) -> None:
    """See that a flow is to be had; out of files, for each frame that is trained or tested on."""
    flow = flow_source(spec)
    if not isinstance(flow, PrecomputedFlow):
        return
    for clip in train.clips:
        own = flow.in_clip(clip.name)
        for index, frame in enumerate(clip.frames):
            if index and frame.labels is not None:
                own.path_of(index)
    for clip in test.clips:
        own = flow.in_clip(clip.name)
        for run in runs_of(clip, history):
            for index in run[1:]:
                own.path_of(index)


def _chosen(lines: Sequence[Line], names: Sequence[str]) -> list[Line]:
    """The lines of these names, and what they are compared with."""
    known = [line.name for line in lines]
    names = names_of(names, known)
    for name in names:
        if name not in known:
            raise unknown_name("line of this table", name, known)
    return [line for line in lines if not names or line.name in names or line.kind in ("base", "control")]


def _document(measured: Measured, target: Target, report: Report) -> str:
    setup, test = measured.setup, measured.context.folds[0].test
    trained = (
        f"weights {Path(setup.weights).name}"
        if setup.weights
        else f"trained here first{' from ImageNet' if setup.base_training.weights else ''}, "
        f"{setup.base_training.steps} steps of {setup.base_training.batch_size} frames"
    )
    caption = (
        f"{setup.base} ({trained}) on {setup.train[0]}, tested as a stream on {len(test.samples())} labelled frames of "
        f"{setup.test[0]}, split {setup.test[1]}. Rows: {setup.recipe.steps} steps of {setup.recipe.batch_size} pairs, "
        f"the whole network with them, {setup.seeds} seed{'s' if setup.seeds > 1 else ''}. {target.caption}"
    )
    notes = "\n".join(f"- {note}" for note in (*report.notes, *(line.note for line in measured.lines)) if note)
    differences = "\n".join(f"- {words}" for words in departures(setup))
    parts = [f"# {measured.title}", report.markdown, notes, caption, f"Not as in the paper:\n\n{differences}"]
    return "\n\n".join(part for part in parts if part) + "\n"
