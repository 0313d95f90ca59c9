"""What is measured, row by row: the fields are those of the JSON file, and docs/speed.md is written from these."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from netwarp.lab.benchmark.plan import Asked, Shape
from netwarp.lab.machine import Machine, machine_line

__all__ = [
    "FORMAT",
    "BesideRow",
    "FlowQualityRow",
    "FlowRow",
    "LengthRow",
    "Measured",
    "Row",
    "SlopeRow",
    "StreamRow",
    "TogetherRow",
    "WarpRow",
    "document",
    "heading",
    "title",
]


@dataclass(frozen=True)
class WarpRow:
    """What was measured of maps of one shape, memory format and dtype.

    Ratios are medians of rounds, and need not be the quotients of the medians beside them. What is None does not apply.

    Attributes:
        shape: ``(B, C, h, w)``.
        format: ``"channels-last"`` or ``"contiguous"``.
        dtype: Of the maps.
        motion: ``"smooth"``, or ``"random"`` for another flow at each pixel.
        add_ms: ``torch.add`` of the two maps, into a new one.
        clone_ms: ``clone`` of one of them.
        ours_ms: :func:`netwarp.warp_combine`, the forward pass.
        eager_ms: ``grid_sample``, two multiplies, an add.
        compiled_ms: ``torch.compile`` of that.
        ours_trained_ms: Forward and backward pass, with gradients of maps, flow and weights.
        eager_trained_ms: Likewise.
        compiled_trained_ms: Likewise.
        ours_backward_ms: The backward pass alone.
        add_kept_ms: ``torch.add`` into a tensor that is there already.
        copy_kept_ms: ``copy_`` into one.
        ours_kept_ms: Our loop into one.
        ours_over_add: How many times the limit we take, each into a new tensor.
        ours_over_add_kept: The same into tensors that are there.
        eager_over_add: How many times the limit the eager form takes.
        compiled_over_add: Likewise compiled.
        eager_over_ours: How many times faster we are, in the forward pass.
        compiled_over_ours: Likewise than the compiled form.
        eager_over_ours_trained: The same, forward and backward.
        compiled_over_ours_trained: Likewise.
        of_copy: Bytes a second that the forward pass has to move (two maps and flow in, a map out), as a share of those
            that ``clone`` moves.
        of_copy_kept: The same into tensors that are there, as a share of ``copy_``'s.
        of_copy_backward: That of the backward pass (three maps and flow in, gradients of two and of the flow out).
        shift_off: Largest difference to the eager form at a flow of whole pixels, where ours is exact.
        not_compiled: Why there is no compiled form.
    """

    part: ClassVar[str] = "warp"
    table: ClassVar[str] = "rows"

    shape: Shape
    format: str
    dtype: str
    motion: str
    add_ms: float
    clone_ms: float
    ours_ms: float
    eager_ms: float
    compiled_ms: float | None
    ours_trained_ms: float
    eager_trained_ms: float
    compiled_trained_ms: float | None
    ours_backward_ms: float
    add_kept_ms: float | None
    copy_kept_ms: float | None
    ours_kept_ms: float | None
    ours_over_add: float
    ours_over_add_kept: float | None
    eager_over_add: float
    compiled_over_add: float | None
    eager_over_ours: float
    compiled_over_ours: float | None
    eager_over_ours_trained: float
    compiled_over_ours_trained: float | None
    of_copy: float
    of_copy_kept: float | None
    of_copy_backward: float
    shift_off: float
    not_compiled: str | None


@dataclass(frozen=True)
class StreamRow:
    """A model's whole stream, from a video file to labels.

    Attributes:
        network: Its name.
        size: (height, width) of frames.
        model: Which model around it.
        flow: Spec of its flow; None frame by frame.
        frames: That count in a run.
        runs: Of this model.
        ms: A frame, median of runs.
        ratio: In times of the network frame by frame; median of the ratios of runs that took turns.
        rendered_ms: A frame, where an overlay video is written too.
        rendered_ratio: That in times of the network frame by frame, rendered likewise.
    """

    part: ClassVar[str] = "stream"
    table: ClassVar[str] = "rows"

    network: str
    size: tuple[int, int]
    model: str
    flow: str | None
    frames: int
    runs: int
    ms: float
    ratio: float
    rendered_ms: float | None
    rendered_ratio: float | None


@dataclass(frozen=True)
class TogetherRow:
    """Several streams in one process.

    Attributes:
        network: Its name.
        size: (height, width) of frames.
        model: Which model around it.
        streams: How many run at the same time, with one model.
        runs: Processes that this was measured in.
        fps: Frames a second of all streams in sum, median of runs.
        ratio: In times of a single stream's; median of the ratios of runs that took turns.
        resident_mib: Memory of the process, median of runs.
    """

    part: ClassVar[str] = "streams"
    table: ClassVar[str] = "rows"

    network: str
    size: tuple[int, int]
    model: str
    streams: int
    runs: int
    fps: float
    ratio: float
    resident_mib: float


@dataclass(frozen=True)
class LengthRow:
    """Memory of a process along a video.

    Attributes:
        network: Its name.
        size: (height, width) of frames.
        model: Which model around it.
        frames: Results so far.
        resident_mib: Memory of the process.
    """

    part: ClassVar[str] = "memory"
    table: ClassVar[str] = "by_length"

    network: str
    size: tuple[int, int]
    model: str
    frames: int
    resident_mib: float


@dataclass(frozen=True)
class BesideRow:
    """Memory of a process with several streams.

    Attributes:
        network: Its name.
        size: (height, width) of frames.
        model: Which model around it.
        streams: How many run at the same time, with one model.
        resident_mib: Memory of the process, the most that was seen.
    """

    part: ClassVar[str] = "memory"
    table: ClassVar[str] = "by_streams"

    network: str
    size: tuple[int, int]
    model: str
    streams: int
    resident_mib: float


@dataclass(frozen=True)
class SlopeRow:
    """What memory grows by: straight lines through the rows of a model (least squares).

    Attributes:
        network: Its name.
        model: Which model around it.
        mib_per_1000_frames: By the length of the video.
        mib_per_stream: By the number of streams.
    """

    part: ClassVar[str] = "memory"
    table: ClassVar[str] = "slopes"

    network: str
    model: str
    mib_per_1000_frames: float
    mib_per_stream: float


@dataclass(frozen=True)
class FlowRow:
    """How long a flow takes.

    Attributes:
        flow: Its spec.
        size: (height, width) of frames.
        ms: A pair of frames, median of rounds.
        ratio: In times of ``dis:medium``; median of rounds.
    """

    part: ClassVar[str] = "flow"
    table: ClassVar[str] = "rows"

    flow: str
    size: tuple[int, int]
    ms: float
    ratio: float


@dataclass(frozen=True)
class FlowQualityRow:
    """What the mode without training makes of a flow, on labelled video; in percent.

    Attributes:
        flow: Its spec; None for the network frame by frame.
        data: What was measured on.
        frames: Labelled ones.
        ms: A frame, network and flow one after the other, median.
        miou: IoU.
        tiou: IoU within 2 pixels of label changes.
        tc: Temporal consistency.
        miou_loss: What is lost against the slowest flow in the table; None frame by frame.
        tiou_loss: Likewise.
        tc_loss: Likewise.
    """

    part: ClassVar[str] = "flow"
    table: ClassVar[str] = "quality"

    flow: str | None
    data: str
    frames: int
    ms: float
    miou: float
    tiou: float
    tc: float
    miou_loss: float | None
    tiou_loss: float | None
    tc_loss: float | None


Row = WarpRow | StreamRow | TogetherRow | LengthRow | BesideRow | SlopeRow | FlowRow | FlowQualityRow


FORMAT = 1
"""Grows when a field changes its meaning or goes; new fields come without."""


@dataclass
class Measured:
    """What there is so far.

    Attributes:
        asked: What is to be measured.
        machine: On what.
        rows: Of each part that has begun.
        seconds: That each part that is done took.
    """

    asked: Asked
    machine: Machine
    rows: dict[str, list[Row]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def any(self) -> bool:
        """Whether there is a row."""
        return any(self.rows.values())


def title(asked: Asked) -> str:
    """Of the whole, which says of a quick run that it is one."""
    return "netwarp benchmark" + (" (quick run: the figures mean nothing)" if asked.quick else "")


def heading(measured: Measured) -> str:
    """What stands above the tables: the title, and what was measured on."""
    asked = measured.asked
    said = ["CPU time of all threads for the warp"] if asked.cpu_time else []
    said += [f"{asked.runs} runs of everything"] if asked.runs else []
    line = machine_line(measured.machine) + "".join(f"; {each}" for each in said)
    return f"# {title(asked)}\n\n{line}."


def document(measured: Measured) -> dict[str, Any]:
    """All of it as plain values: milliseconds, ratios, MiB and percent; null where a figure does not apply."""
    asked = measured.asked
    return {
        "format": FORMAT,
        "quick": asked.quick,
        "machine": dict(measured.machine),
        "settings": {
            "runs": asked.runs,
            "flow": asked.flow,
            "motion": asked.motion,
            "cpu_time": asked.cpu_time,
            "data": asked.data,
            "base": asked.base,
        },
        "parts": {
            part: {"seconds": _rounded(measured.seconds.get(part)), **_tables(rows)}
            for part, rows in measured.rows.items()
        },
    }


def _tables(rows: Sequence[Row]) -> dict[str, list[dict[str, Any]]]:
    tables: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        tables.setdefault(row.table, []).append(_plain(asdict(row)))
    return tables


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _rounded(value) if isinstance(value, float) else value for name, value in fields.items()}


def _rounded(value: float | None) -> float | None:
    """To six figures that count; null for what is no number."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")
