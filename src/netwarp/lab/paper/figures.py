"""Figures 4, 5 and 6 out of what was measured: the picture, and its numbers as a table."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from netwarp.datasets.clips import ClipData
from netwarp.lab.flow_pictures import Flow, before_and_after, flow_colours, flow_wheel, length_of, round_limit
from netwarp.lab.output import EMPTY, markdown_table, new_figure, number, save_figure
from netwarp.lab.paper.measured import Measured, Report
from netwarp.lab.study.build import build
from netwarp.lab.study.figures import compared_clips, draw_crops, draw_gain_curves
from netwarp.lab.study.store import Unit
from netwarp.lab.study.summary import Spread, relative_gain
from netwarp.lab.study.training import train_row
from netwarp.model import VideoModel

if TYPE_CHECKING:
    from pandas import DataFrame

TOLD = (1, 2, 3, 4, 5, 8, 10, 15, 20)
"""Widths that the table of Figure 4 has; the CSV has all."""


def make_curves(measured: Measured, path: Path) -> Report:
    """Figure 4: the relative gain in tIoU by the width of the trimap, and in IoU over whole frames."""
    import pandas as pd

    rows, cells = [], []
    curves: dict[str, Mapping[int, Spread]] = {}
    points: dict[str, tuple[int, float]] = {}
    published = {line.measured: line.paper.tiou for line in measured.lines if line.kind == "base"}
    for line in measured.lines:
        if line.kind == "base" or line.row is None:
            continue
        base, own = measured.of(line.base), measured.of(line.row.name)
        gains = relative_gain(own, base)
        whole = 100 * (Spread.of([f.miou for f in own]).mean / base[0].miou - 1)
        # All that the paper says of Figure 4 in numbers: the figure's other points are in a picture only.
        paper = 100 * (line.paper.tiou / published[line.base] - 1)
        if math.isfinite(paper):
            points[line.name] = 2, paper
        curves[line.name] = gains
        rows += [(line.name, w, g.mean, g.deviation, paper if w == 2 else math.nan) for w, g in gains.items()]
        percents = [number(value, 1, signed=True) for value in (*(gains[width].mean for width in TOLD), whole, paper)]
        cells.append((line.name, *(text if text == EMPTY else f"{text} %" for text in percents)))
    controls = [line.name for line in measured.lines if line.kind == "control"]
    draw_gain_curves(curves, controls, measured.title, path, points=points)
    head = ("", *(f"{width} px" for width in TOLD), "whole frame", "paper: 2 px")
    table = pd.DataFrame(rows, columns=["line", "width_px", "relative_tiou_gain_percent", "sd", "paper"])
    return Report(markdown_table(head, cells), table)


SHOWN = 4
"""Frames in Figure 5, of different clips."""


@dataclass(frozen=True, eq=False)
class FlowShown:
    """A frame and its flow ``[2,H,W]``, backward, in pixels."""

    name: str  # of the frame
    image: npt.NDArray[np.uint8]  # [H,W,3] RGB
    before: Flow  # as it was estimated
    after: Flow  # as FlowCNN made it
    true: Flow | None  # where it is known


def make_flows(measured: Measured, path: Path) -> Report:
    """Figure 5: flow before and after FlowCNN, of the model of the first seed."""
    row = next(line.row for line in measured.lines if line.kind == "netwarp" and line.row is not None)
    context, fold = measured.context, measured.context.folds[0]
    model = build(row, context.base, 0)
    try:
        train_row(
            model, row, fold, 0, device=context.inputs.device, cache=context.inputs.cache / "flow", replay=True,
            folder=measured.store.training(Unit(row, 0, 0)),
        )  # fmt: skip
        shown = flows_shown(model, fold.test)
    finally:
        model.remove()
    draw_flows(shown, measured.title, path)
    table = flows_table(shown)
    return Report(markdown_flows(table), table)


def flows_shown(model: VideoModel, data: ClipData) -> list[FlowShown]:
    """The frame with the most motion of each of a few clips, spread over the data."""
    clips = [clip for clip in data.clips if len(clip.frames) > 1]
    chosen: list[FlowShown] = []
    for clip in clips[:: max(len(clips) // SHOWN, 1)][:SHOWN]:
        frames: list[FlowShown] = []
        for previous, current in itertools.pairwise(clip.frames):
            image = current.image()
            before, after = before_and_after(model, image, previous.image())
            true = None if current.flow is None else current.flow()
            frames.append(FlowShown(current.name, image, before, after, true))
        chosen.append(max(frames, key=lambda frame: _length(frame.before)))
    return chosen


def _length(flow: Flow) -> float:
    """Mean over the frame, pixels."""
    return float(length_of(flow).mean())


def draw_flows(shown: Sequence[FlowShown], title: str, path: Path) -> None:
    """Draw frame, flow before, flow after and what changed, a frame a row."""
    height, width = shown[0].image.shape[:2]
    figure = new_figure(10, 1.1 + 2.35 * len(shown) * height / width)
    figure.suptitle(f"{title}\nHue: direction. Full colour: the length above each picture, in pixels.", fontsize=9)
    grid = figure.subplots(len(shown), 4, squeeze=False)
    for line, frame in zip(grid, shown, strict=True):
        change = frame.after - frame.before
        limit = round_limit(float(np.percentile(length_of(frame.before), 95)))
        least = round_limit(float(np.percentile(length_of(change), 99)))
        pictures = {
            frame.name: frame.image,
            f"DIS, {limit:g} px": flow_colours(frame.before, limit),
            f"after FlowCNN, {limit:g} px": flow_colours(frame.after, limit),
            f"after − before, {least:g} px": flow_colours(change, least),
        }
        for axes, (words, picture) in zip(line, pictures.items(), strict=True):
            axes.imshow(picture, interpolation="nearest")
            axes.set_title(words, fontsize=8)
            axes.axis("off")
    wheel = grid[0][1].inset_axes((0.0, 0.68, 0.18, 0.32))
    wheel.imshow(flow_wheel(96))
    wheel.axis("off")
    save_figure(figure, path)


def flows_table(shown: Sequence[FlowShown]) -> DataFrame:
    """Mean lengths in pixels of motion, of its change, and of the distance from the true flow; NaN without that."""
    import pandas as pd

    rows = []
    for frame in shown:
        errors = [math.nan if frame.true is None else _length(f - frame.true) for f in (frame.before, frame.after)]
        rows.append((frame.name, _length(frame.before), _length(frame.after - frame.before), *errors))
    return pd.DataFrame(rows, columns=["frame", "motion_px", "change_px", "error_before_px", "error_after_px"])


def markdown_flows(table: DataFrame) -> str:
    """The same in Markdown, and the mean over the frames."""
    head = ("frame", "motion", "change by FlowCNN", "distance from the true flow, before", "after")
    rows = [*table.itertuples(index=False), ("mean", *table.iloc[:, 1:].mean())]
    return markdown_table(head, [(str(name), *(number(value, 2) for value in values)) for name, *values in rows])


def make_crops(measured: Measured, path: Path) -> Report:
    """Figure 6 (and 3): places where labels differ most, gains and losses."""
    import pandas as pd

    base, netwarp = measured.pair()
    maps = [measured.store.pictures(Unit(row, 0, 0)) for row in (base, netwarp)]
    clips = compared_clips(measured.context.folds[0].test, *maps)
    classes = measured.context.data.classes
    places, window, choice = draw_crops(clips, classes, netwarp.name, path, title=measured.title, share=2)
    head = ["place", "frame", "x", "y", "correct pixels, NetWarp − frame by frame"]
    rows = [
        (place_number, clips[place.clip].names[place.frame], place.left, place.top, place.gain)
        for place_number, place in enumerate(places, 1)
    ]
    cells = [(*map(str, row[:-1]), number(row[-1], 0, signed=True)) for row in rows]
    note = (
        f"Windows of {window[1]}×{window[0]} pixels, chosen by counting alone: NetWarp has more correct "
        f"pixels in {choice.better}, fewer in {choice.worse}, as many in {choice.same}."
    )
    return Report(markdown_table(head, cells), pd.DataFrame(rows, columns=head), (note,))
