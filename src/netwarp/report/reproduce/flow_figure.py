"""Figure 5: flow before and after FlowCNN, next to the frame."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from netwarp.data.clips import Clip, ClipData
from netwarp.model import VideoModel
from netwarp.report.experiment.drawing import new_figure, save_figure
from netwarp.report.flow_colours import flow_colours, flow_wheel
from netwarp.report.table import markdown_table
from netwarp.report.transformed_flow import Flow, before_and_after, length_of, round_limit

__all__ = ["FlowShown", "csv_flows", "draw_flows", "flows_shown", "markdown_flows", "summary_of_flows"]

SHOWN = 4
"""Frames in the figure, of different clips."""


@dataclass(frozen=True, eq=False)
class FlowShown:
    """A frame and its flow.

    Attributes:
        name: Of the frame.
        image: ``[H,W,3]`` RGB.
        before: ``[2,H,W]``, as it was estimated; backward, pixels.
        after: Likewise, as FlowCNN made it.
        true: Likewise, where it is known.
    """

    name: str
    image: npt.NDArray[np.uint8]
    before: Flow
    after: Flow
    true: Flow | None

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
    """The frame with the most motion of each of a few clips, spread over the data.

    Args:
        model: With a trained FlowCNN.
        data: What to show of; frames without one of the same size before them are not looked at.
    """
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
    """Draw frame, flow before, flow after and what changed, a frame a row.

    Raises:
        MissingExtraError: Matplotlib is not installed.
        OutputError: The file cannot be written.
    """
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


def markdown_flows(shown: Sequence[FlowShown]) -> list[str]:
    """Numbers to the figure, in Markdown."""
    known = all(frame.true is not None for frame in shown)
    head = ["frame", "motion", "change by FlowCNN"]
    head += ["distance from the true flow, before", "after"] if known else []
    rows = [[f"{v:.2f}" if isinstance(v, float) else v or "" for v in _cells(frame)][: len(head)] for frame in shown]
    return markdown_table(head, rows)


def csv_flows(shown: Sequence[FlowShown]) -> str:
    """The same as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["frame", "motion_px", "change_px", "error_before_px", "error_after_px"])
    for frame in shown:
        writer.writerow(["" if v is None else round(v, 4) if isinstance(v, float) else v for v in _cells(frame)])
    return text.getvalue()


def summary_of_flows(shown: Sequence[FlowShown]) -> list[str]:
    """What FlowCNN did, in words that follow from the numbers."""
    change = float(np.mean([frame.change for frame in shown]))
    motion = float(np.mean([frame.motion for frame in shown]))
    said = [f"FlowCNN changes the flow by {change:.2f} pixels in the mean, where {motion:.2f} are moved."]
    errors = [(frame.error(frame.before), frame.error(frame.after)) for frame in shown]
    pairs = [(a, b) for a, b in errors if a is not None and b is not None]
    if pairs:
        before, after = (float(np.mean(values)) for values in zip(*pairs, strict=True))
        said.append(_way(f"{before:.2f}", f"{after:.2f}"))
    said.append(
        "The paper's figure has no numbers: it reports that the scene's structure is much more pronounced in the "
        "transformed flow (section 4.2)."
    )
    return said


def _way(before: str, after: str) -> str:
    """What distances from the true flow come to, as far as the digits that are printed tell."""
    if before == after:
        return f"That leaves its distance from the true flow at {before} pixels."
    way = "nearer to" if float(after) < float(before) else "away from"
    return f"That leads {way} the true flow: {before} pixels before, {after} after."


def _cells(frame: FlowShown) -> list[str | float | None]:
    return [frame.name, frame.motion, frame.change, frame.error(frame.before), frame.error(frame.after)]
