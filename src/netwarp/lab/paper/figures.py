"""Figures 4, 5 and 6 out of what was measured: the picture, and its numbers as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from netwarp.datasets.clips import Clip, ClipData
from netwarp.lab.flow_pictures import Flow, before_and_after, flow_colours, flow_wheel, length_of, round_limit
from netwarp.lab.output import markdown_table, new_figure, number, save_figure
from netwarp.lab.paper.published import RELATIVE_GAIN
from netwarp.lab.paper.tables import Result, paper_gain
from netwarp.lab.paper.work import Made, Work
from netwarp.lab.study.build import build
from netwarp.lab.study.figures import COLOURS, GainCurve, compared_clips, draw_crops, draw_gain_curves
from netwarp.lab.study.store import Unit
from netwarp.lab.study.summary import Spread, relative_gain
from netwarp.lab.study.training import train_row
from netwarp.model import VideoModel

if TYPE_CHECKING:
    from pandas import DataFrame

KINDS = {"netwarp": ("o", COLOURS[0]), "control": ("s", "0.45"), "baseline": ("^", COLOURS[2])}
PAPER = COLOURS[1]


def draw_gains(results: Sequence[Result], title: str, path: Path) -> None:
    """Draw gains in IoU, tIoU and iIoU, as far as they are known, with the noise in IoU as a band around 0."""
    shown = [result for result in results if result.to_base or paper_gain(results, result)]
    measures = [
        name for name in ("IoU", "tIoU", "iIoU")
        if any(math.isfinite(r.to_base[name].mean) for r in shown if name in r.to_base)
    ]  # fmt: skip
    figure = new_figure(3.2 + 2.6 * max(len(measures), 1), 1.6 + 0.27 * max(len(shown), 1))
    figure.suptitle(title, fontsize=10)
    panels = figure.subplots(1, max(len(measures), 1), sharey=True, squeeze=False)[0]
    for axes, measure in zip(panels, measures, strict=False):
        _draw_panel(axes, results, shown, measure)
    panels[0].set_yticks(range(len(shown)), [result.line.name for result in shown], fontsize=8)
    panels[0].set_ylim(len(shown) - 0.5, -0.5)
    handles, labels = panels[0].get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    save_figure(figure, path)


def _draw_panel(axes: Any, results: Sequence[Result], shown: Sequence[Result], measure: str) -> None:  # noqa: ANN401
    axes.axvline(0, color="0.4", linewidth=1)
    words = {"netwarp": "NetWarp", "control": "control", "baseline": "concatenation"}
    for place, result in enumerate(shown):
        if measure == "IoU" and math.isfinite(result.noise):
            axes.barh(place, 2 * result.noise, left=-result.noise, height=0.8, color="0.92", label="noise")
        gain = result.to_base.get(measure)
        if gain is not None and math.isfinite(gain.mean):
            mark, colour = KINDS[result.line.kind]
            deviation = gain.deviation if math.isfinite(gain.deviation) else None
            axes.errorbar(
                gain.mean, place, xerr=deviation, fmt=mark, color=colour, markersize=5, linewidth=1.2,
                label=words[result.line.kind],
            )  # fmt: skip
        published = paper_gain(results, result).get(measure)
        if published is not None:
            axes.plot(published, place, "D", color=PAPER, markerfacecolor="none", markersize=5, label="paper")
    axes.set_xlabel(f"gain in {measure} over\nframe by frame (points)", fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.93")
    axes.set_axisbelow(True)


SHOWN = 4
"""Frames in the figure, of different clips."""


@dataclass(frozen=True, eq=False)
class FlowShown:
    """A frame and its flow."""

    name: str  # of the frame
    image: npt.NDArray[np.uint8]  # [H,W,3] RGB
    before: Flow  # [2,H,W], as it was estimated; backward, pixels
    after: Flow  # [2,H,W], as FlowCNN made it
    true: Flow | None  # [2,H,W], where it is known

    @property
    def motion(self) -> float:
        """Mean length of the flow, pixels."""
        return float(length_of(self.before).mean())

    @property
    def change(self) -> float:
        """By how many pixels FlowCNN changed it in the mean."""
        return float(length_of(self.after - self.before).mean())

    def error(self, flow: Flow) -> float | None:
        """Mean distance from the true flow, pixels."""
        return None if self.true is None else float(length_of(flow - self.true).mean())


def flows_shown(model: VideoModel, data: ClipData) -> list[FlowShown]:
    """The frame with the most motion of each of a few clips, spread over the data."""
    clips = [clip for clip in data.clips if len(clip.frames) > 1]
    chosen = clips[:: max(len(clips) // SHOWN, 1)][:SHOWN]
    return [max(_of_clip(model, clip), key=lambda shown: shown.motion) for clip in chosen]


def _of_clip(model: VideoModel, clip: Clip) -> list[FlowShown]:
    shown: list[FlowShown] = []
    for previous, current in zip(clip.frames, clip.frames[1:], strict=False):
        image, past = current.image(), previous.image()
        before, after = before_and_after(model, image, past)
        shown.append(FlowShown(current.name, image, before, after, None if current.flow is None else current.flow()))
    return shown


def draw_flows(shown: Sequence[FlowShown], title: str, path: Path) -> None:
    """Draw frame, flow before, flow after and what changed, a frame a row."""
    height, width = shown[0].image.shape[:2]
    figure = new_figure(10, 1.1 + 2.35 * len(shown) * height / width)
    figure.suptitle(f"{title}\nHue: direction. Full colour: the length above each picture, in pixels.", fontsize=9)
    grid = figure.subplots(len(shown), 4, squeeze=False)
    for line, frame in zip(grid, shown, strict=True):
        limit = round_limit(float(np.percentile(length_of(frame.before), 95)))
        change = frame.after - frame.before
        least = round_limit(float(np.percentile(length_of(change), 99)))
        pictures = [frame.image, flow_colours(frame.before, limit), flow_colours(frame.after, limit)]
        pictures.append(flow_colours(change, least))
        words = (frame.name, f"DIS, {limit:g} px", f"after FlowCNN, {limit:g} px", f"after − before, {least:g} px")
        for axes, picture, word in zip(line, pictures, words, strict=True):
            axes.imshow(picture, interpolation="nearest")
            axes.set_title(word, fontsize=8)
            axes.axis("off")
    wheel = grid[0][1].inset_axes((0.0, 0.68, 0.18, 0.32))
    wheel.imshow(flow_wheel(96))
    wheel.axis("off")
    save_figure(figure, path)


def flows_table(shown: Sequence[FlowShown]) -> DataFrame:
    """Numbers to the figure, in pixels; NaN where the true flow is not known."""
    import pandas as pd

    rows = [
        (frame.name, frame.motion, frame.change, frame.error(frame.before), frame.error(frame.after)) for frame in shown
    ]
    table = pd.DataFrame(rows, columns=["frame", "motion_px", "change_px", "error_before_px", "error_after_px"])
    return table.astype(dict.fromkeys(table.columns[1:], float))


def markdown_flows(table: DataFrame) -> str:
    """The same in Markdown, and the mean over the frames."""
    head = ("frame", "motion", "change by FlowCNN", "distance from the true flow, before", "after")
    rows = [*table.itertuples(index=False), ("mean", *table.iloc[:, 1:].mean())]
    return markdown_table(head, [(str(name), *(number(value, 2) for value in values)) for name, *values in rows])


TOLD = (1, 2, 3, 4, 5, 8, 10, 15, 20)
"""Widths that the table of Figure 4 has; the CSV has all."""


def make_curves(work: Work, path: Path) -> Made:
    """Figure 4: the relative gain in tIoU by the width of the trimap, and in IoU over whole frames."""
    import pandas as pd

    curves, rows, cells = [], [], []
    points: dict[str, tuple[int, float]] = {}
    for line in work.lines:
        if line.kind == "base" or line.row is None:
            continue
        base, own = [f for f in work.figures if f.row == line.base], work.of(line.row)
        gains = relative_gain(own, base)
        whole = 100 * (Spread.of([f.miou for f in own]).mean / base[0].miou - 1)
        control = line.kind == "control"
        paper = math.nan if control else _published(line.name)
        if math.isfinite(paper):
            points[line.name] = 2, paper
        curves.append(GainCurve(line.name, {width: gain.mean for width, gain in gains.items()}, control=control))
        rows += [
            (line.name, width, gain.mean, gain.deviation, paper if width == 2 else math.nan)
            for width, gain in gains.items()
        ]
        percents = [*(gains[width].mean for width in TOLD), whole, paper]
        cells.append((line.name, *(f"{number(value, 1, signed=True)} %" for value in percents)))
    draw_gain_curves(curves, work.title, path, points=points)
    head = ("", *(f"{width} px" for width in TOLD), "whole frame", "paper: 2 px")
    table = pd.DataFrame(rows, columns=["line", "width_px", "relative_tiou_gain_percent", "sd", "paper"])
    return Made(markdown_table(head, cells), table)


def _published(name: str) -> float:
    return next((gain.tiou for which, gain in RELATIVE_GAIN.items() if f"-{which}" in name), math.nan)


def make_flows(work: Work, path: Path) -> Made:
    """Figure 5: flow before and after FlowCNN, of the model of the first seed."""
    row = next(line.row for line in work.lines if line.kind == "netwarp" and line.row is not None)
    bench, fold = work.bench, work.bench.folds[0]
    model = build(row, bench.base, 0)
    try:
        train_row(
            model, row, fold, 0, device=bench.inputs.device, cache=bench.inputs.cache / "flow", replay=True,
            folder=work.store.training(Unit(row, 0, 0)),
        )  # fmt: skip
        shown = flows_shown(model, fold.test)
    finally:
        model.remove()
    draw_flows(shown, work.title, path)
    table = flows_table(shown)
    return Made(markdown_flows(table), table)


def make_crops(work: Work, path: Path) -> Made:
    """Figure 6 (and 3): places where labels differ most, gains and losses."""
    import pandas as pd

    base, netwarp = work.pair()
    maps = [work.store.pictures(Unit(row, 0, 0)) for row in (base, netwarp)]
    clips = compared_clips(work.bench.folds[0].test, *maps)
    choice = draw_crops(clips, work.bench.data.classes, netwarp.name, path, title=work.title, share=2)
    rows = [
        (place_number + 1, clips[place.clip].names[place.frame], place.left, place.top, gain)
        for place_number, (place, gain) in enumerate(choice.places)
    ]
    head = ["place", "frame", "x", "y", "correct pixels, NetWarp − frame by frame"]
    cells = [(str(n), name, str(x), str(y), number(gain, 0, signed=True)) for n, name, x, y, gain in rows]
    note = (
        f"Windows of {choice.window[1]}×{choice.window[0]} pixels, chosen by counting alone: NetWarp has more correct "
        f"pixels in {choice.better}, fewer in {choice.worse}, as many in {choice.same}."
    )
    return Made(markdown_table(head, cells), pd.DataFrame(rows, columns=head), (note,))
