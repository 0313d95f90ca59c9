"""What is measured, row by row: the fields are those of the JSON file, and docs/speed.md is written from these."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from netwarp.lab.benchmark.plan import BenchmarkPlan, Shape
from netwarp.lab.machine import Machine, machine_line


@dataclass(frozen=True)
class WarpRow:
    """What was measured of maps of one shape, memory format and dtype.

    Ratios are medians of rounds, and need not be the quotients of the medians beside them. What is None does not apply.
    """

    part: ClassVar[str] = "warp"
    table: ClassVar[str] = "rows"

    shape: Shape  # (B, C, h, w)
    format: str  # "channels-last" or "contiguous"
    dtype: str  # of the maps
    motion: str  # "smooth", or "random" for another flow at each pixel
    add_ms: float  # torch.add of the two maps, into a new one
    clone_ms: float  # clone of one of them
    ours_ms: float  # warp_combine, the forward pass
    eager_ms: float  # grid_sample, two multiplies, an add
    compiled_ms: float | None  # torch.compile of that
    ours_trained_ms: float  # forward and backward pass, with gradients of maps, flow and weights
    eager_trained_ms: float  # eager, forward and backward
    compiled_trained_ms: float | None  # compiled, forward and backward
    ours_backward_ms: float  # the backward pass alone
    add_kept_ms: float | None  # torch.add into a tensor that is there already
    copy_kept_ms: float | None  # copy_ into one
    ours_kept_ms: float | None  # our loop into one
    ours_over_add: float  # how many times the limit we take, each into a new tensor
    ours_over_add_kept: float | None  # ours over add, into tensors that are there
    eager_over_add: float  # how many times the limit the eager form takes
    compiled_over_add: float | None  # times the limit that the compiled form takes
    eager_over_ours: float  # how many times faster we are, in the forward pass
    compiled_over_ours: float | None  # times that we are faster than the compiled form, forward
    eager_over_ours_trained: float  # eager over ours, forward and backward
    compiled_over_ours_trained: float | None  # compiled over ours, forward and backward
    # bytes a second that the forward pass has to move (two maps and flow in, a map out), as a share of those that
    # clone moves
    of_copy: float
    of_copy_kept: float | None  # of_copy into tensors that are there, as a share of copy_'s
    of_copy_backward: float  # that of the backward pass (three maps and flow in, gradients of two and of the flow out)
    shift_off: float  # largest difference to the eager form at a flow of whole pixels, where ours is exact
    not_compiled: str | None  # why there is no compiled form


@dataclass(frozen=True)
class StreamRow:
    """A model's whole stream, from a video file to labels."""

    part: ClassVar[str] = "stream"
    table: ClassVar[str] = "rows"

    network: str  # its name
    size: tuple[int, int]  # (height, width) of frames
    model: str  # which model around it
    flow: str | None  # spec of its flow; None frame by frame
    frames: int  # that count in a run
    runs: int  # of this model
    ms: float  # A frame, median of runs
    ratio: float  # in times of the network frame by frame; median of the ratios of runs that took turns
    rendered_ms: float | None  # A frame, where an overlay video is written too
    rendered_ratio: float | None  # that in times of the network frame by frame, rendered likewise


@dataclass(frozen=True)
class TogetherRow:
    """Several streams in one process."""

    part: ClassVar[str] = "streams"
    table: ClassVar[str] = "rows"

    network: str  # its name
    size: tuple[int, int]  # (height, width) of frames
    model: str  # which model around it
    streams: int  # how many run at the same time, with one model
    runs: int  # processes that this was measured in
    fps: float  # frames a second of all streams in sum, median of runs
    ratio: float  # in times of a single stream's; median of the ratios of runs that took turns
    resident_mib: float  # memory of the process, median of runs


@dataclass(frozen=True)
class LengthRow:
    """Memory of a process along a video."""

    part: ClassVar[str] = "memory"
    table: ClassVar[str] = "by_length"

    network: str  # its name
    size: tuple[int, int]  # (height, width) of frames
    model: str  # which model around it
    frames: int  # results so far
    resident_mib: float  # memory of the process


@dataclass(frozen=True)
class BesideRow:
    """Memory of a process with several streams."""

    part: ClassVar[str] = "memory"
    table: ClassVar[str] = "by_streams"

    network: str  # its name
    size: tuple[int, int]  # (height, width) of frames
    model: str  # which model around it
    streams: int  # how many run at the same time, with one model
    resident_mib: float  # memory of the process, the most that was seen


@dataclass(frozen=True)
class SlopeRow:
    """What memory grows by: straight lines through the rows of a model (least squares)."""

    part: ClassVar[str] = "memory"
    table: ClassVar[str] = "slopes"

    network: str  # its name
    model: str  # which model around it
    mib_per_1000_frames: float  # by the length of the video
    mib_per_stream: float  # by the number of streams


@dataclass(frozen=True)
class FlowRow:
    """How long a flow takes."""

    part: ClassVar[str] = "flow"
    table: ClassVar[str] = "rows"

    flow: str  # its spec
    size: tuple[int, int]  # (height, width) of frames
    ms: float  # A pair of frames, median of rounds
    ratio: float  # in times of dis:medium; median of rounds


@dataclass(frozen=True)
class FlowQualityRow:
    """What the mode without training makes of a flow, on labelled video; in percent."""

    part: ClassVar[str] = "flow"
    table: ClassVar[str] = "quality"

    flow: str | None  # its spec; None for the network frame by frame
    data: str  # what was measured on
    frames: int  # labelled ones
    ms: float  # A frame, network and flow one after the other, median
    miou: float  # IoU
    tiou: float  # IoU within 2 pixels of label changes
    tc: float  # temporal consistency
    miou_loss: float | None  # what is lost against the slowest flow in the table; None frame by frame
    tiou_loss: float | None
    tc_loss: float | None


Row = WarpRow | StreamRow | TogetherRow | LengthRow | BesideRow | SlopeRow | FlowRow | FlowQualityRow


FORMAT = 1
"""Grows when a field changes its meaning or goes; new fields come without."""


@dataclass
class Measured:
    """What there is so far."""

    plan: BenchmarkPlan  # what is to be measured
    machine: Machine  # on what
    rows: dict[str, list[Row]] = field(default_factory=dict)  # of each part that has begun
    seconds: dict[str, float] = field(default_factory=dict)  # that each part that is done took

    @property
    def any(self) -> bool:
        """Whether there is a row."""
        return any(self.rows.values())


def title(plan: BenchmarkPlan) -> str:
    """Of the whole, which says of a quick run that it is one."""
    return "netwarp benchmark" + (" (quick run: the figures mean nothing)" if plan.quick else "")


def heading(measured: Measured) -> str:
    """What stands above the tables: the title, and what was measured on."""
    plan = measured.plan
    said = ["CPU time of all threads for the warp"] if plan.cpu_time else []
    said += [f"{plan.runs} runs of everything"] if plan.runs else []
    line = machine_line(measured.machine) + "".join(f"; {each}" for each in said)
    return f"# {title(plan)}\n\n{line}."


def document(measured: Measured) -> dict[str, Any]:
    """All of it as plain values: milliseconds, ratios, MiB and percent; null where a figure does not apply."""
    plan = measured.plan
    return {
        "format": FORMAT,
        "quick": plan.quick,
        "machine": dict(measured.machine),
        "settings": {
            "runs": plan.runs,
            "flow": plan.flow,
            "motion": plan.motion,
            "cpu_time": plan.cpu_time,
            "data": plan.data,
            "base": plan.base,
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
