"""The rows of a part as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netwarp.lab.benchmark.results import (
    BesideRow,
    FlowQualityRow,
    FlowRow,
    LengthRow,
    Row,
    SlopeRow,
    StreamRow,
    TogetherRow,
    WarpRow,
)
from netwarp.lab.output import markdown_table as _table
from netwarp.lab.output import number

TITLES = {
    "warp": "Warp and sum",
    "stream": "A stream against the network frame by frame",
    "streams": "Several streams in one process",
    "memory": "Memory",
    "flow": "Flow",
}


def part_text(part: str, rows: Sequence[Row]) -> str:
    """A part's section: its title, tables, and what they show."""
    return "\n\n".join([f"## {TITLES[part]}", *_SECTIONS[part](rows)])


def shape_text(shape: Sequence[int]) -> str:
    """A shape for people.

    >>> shape_text((1, 11, 60, 45))
    '1×11×60×45'
    """
    return "×".join(map(str, shape))


def size_text(size: tuple[int, int]) -> str:
    """A frame's size, width first.

    >>> size_text((360, 480))
    '480×360'
    """
    return f"{size[1]}×{size[0]}"


def _ms(value: float | None) -> str:
    """Three figures that count, since maps take microseconds or seconds."""
    if value is None:
        return "–"
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3}f}"


def _warp(rows: Sequence[Row]) -> list[str]:
    warps = [row for row in rows if isinstance(row, WarpRow)]
    names = [(f"{shape_text(row.shape)}, {row.format}, {row.dtype}", row) for row in warps]
    times = [
        (
            name, *map(_ms, (row.add_ms, row.clone_ms, row.ours_ms, row.eager_ms, row.compiled_ms)),
            *map(_ms, (row.ours_trained_ms, row.ours_backward_ms, row.eager_trained_ms, row.compiled_trained_ms)),
        )
        for name, row in names
    ]  # fmt: skip
    ratios = [
        (
            name,
            *(number(value, 2) for value in (row.ours_over_add, row.ours_over_add_kept)),
            *(number(value, 1) for value in (row.eager_over_ours, row.compiled_over_ours)),
            *(number(value, 1) for value in (row.eager_over_ours_trained, row.compiled_over_ours_trained)),
            *(_percent(value) for value in (row.of_copy, row.of_copy_kept, row.of_copy_backward)),
            f"{row.shift_off:.0e}" if row.shift_off else "0",
        )
        for name, row in names
    ]
    heads = (
        (
            "ms", "add", "clone", "ours", "eager", "compile", "ours with backward", "ours, backward alone",
            "eager with backward", "compile with backward",
        ),
        (
            "ratios", "ours/add", "ours/add, kept", "eager/ours", "compile/ours", "eager/ours with backward",
            "compile/ours with backward", "of clone's bandwidth", "of copy's, kept", "backward, of clone's",
            "shift off",
        ),
    )  # fmt: skip
    motions = " and ".join(sorted({row.motion for row in warps}))
    said = [
        f"Flow is {motions}. `warp_combine` against `grid_sample`, two multiplies and an add (eager), `torch.compile` "
        "of that, and the memory's limit, `torch.add` and `clone` of the same maps. Kept: into memory that is there "
        "already. Shift off: the largest difference to eager at a flow of whole pixels, where ours is exact."
    ]
    said += [
        f"Without `torch.compile`: {why}." for why in sorted({row.not_compiled for row in warps if row.not_compiled})
    ]
    return [_table(heads[0], times), _table(heads[1], ratios), *said]


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


def _stream(rows: Sequence[Row]) -> list[str]:
    streams = [row for row in rows if isinstance(row, StreamRow)]
    written = any(row.rendered_ms is not None for row in streams)
    head = ["network, frames", "model", "ms a frame", "× frame by frame"]
    cells = [
        [f"{row.network}, {size_text(row.size)}", row.model, number(row.ms, 1), number(row.ratio, 3)] for row in streams
    ]
    if written:
        head += ["ms, video written", "× frame by frame, written"]
        for line, row in zip(cells, streams, strict=True):
            line += [number(row.rendered_ms, 1), number(row.rendered_ratio, 3)]
    flows = " and ".join(sorted({row.flow for row in streams if row.flow}))
    return [
        _table(head, cells),
        f"`netwarp.segment` from an .mp4 to labels, flow {flows or 'none'}. Runs of whole streams took turns; medians "
        "of runs, and of the ratios of runs in one turn. Written: `netwarp.inference.render` of an overlay .mp4 too.",
    ]


def _streams(rows: Sequence[Row]) -> list[str]:
    together = [row for row in rows if isinstance(row, TogetherRow)]
    head = ("network, frames", "model", "streams", "frames a second in sum", "× one stream", "resident MiB")
    cells = [
        (
            f"{row.network}, {size_text(row.size)}", row.model, str(row.streams), number(row.fps, 1),
            number(row.ratio, 2), number(row.resident_mib, 0),
        )
        for row in together
    ]  # fmt: skip
    return [
        _table(head, cells),
        "Threads of one process with one model, each with a video of its own; the process's "
        "memory, libraries and network included.",
    ]


def _memory(rows: Sequence[Row]) -> list[str]:
    """A line for each model."""
    lengths = [row for row in rows if isinstance(row, LengthRow)]
    besides = [row for row in rows if isinstance(row, BesideRow)]
    slopes = {row.model: row for row in rows if isinstance(row, SlopeRow)}
    if not lengths:
        return []
    frames = list(dict.fromkeys(row.frames for row in lengths))
    streams = list(dict.fromkeys(row.streams for row in besides))
    along = {(row.model, row.frames): row.resident_mib for row in lengths}
    beside = {(row.model, row.streams): row.resident_mib for row in besides}
    head = ["resident MiB", *(f"after {count} frames" for count in frames), "for 1,000 more"]
    head += [*(f"{count} stream{'s' * (count > 1)}" for count in streams), "for one more"]
    cells = []
    for model in dict.fromkeys(row.model for row in lengths):
        its = slopes.get(model)
        cells.append(
            [
                model,
                *(number(along.get((model, count)), 1) for count in frames),
                "–" if its is None else _signed(its.mib_per_1000_frames, 1),
                *(number(beside.get((model, count)), 1) for count in streams),
                "–" if its is None else _signed(its.mib_per_stream, 1),
            ]
        )
    return [
        _table(head, cells),
        f"{lengths[0].network}, {size_text(lengths[0].size)}. Libraries and network included; a process for "
        "the whole length, and one for each number of streams. For more: straight lines through the figures before.",
    ]


def _flow(rows: Sequence[Row]) -> list[str]:
    times = [row for row in rows if isinstance(row, FlowRow)]
    sizes = list(dict.fromkeys(row.size for row in times))
    by_flow: dict[str, dict[tuple[int, int], FlowRow]] = {}
    for row in times:
        by_flow.setdefault(row.flow, {})[row.size] = row
    head = ["flow"]
    for size in sizes:
        head += [f"ms, {size_text(size)}", "× dis:medium"]
    cells = []
    for flow, found in by_flow.items():
        line = [flow]
        for size in sizes:
            its = found.get(size)
            line += [_ms(its.ms), number(its.ratio, 2)] if its else ["–", "–"]
        cells.append(line)
    parts = [_table(head, cells)]
    if qualities := [row for row in rows if isinstance(row, FlowQualityRow)]:
        parts += _quality(qualities)
    return parts


def _quality(rows: Sequence[FlowQualityRow]) -> list[str]:
    head = ("training-free with", "IoU", "tIoU, 2 px", "tc", "IoU lost", "tIoU lost", "tc lost", "ms a frame")
    cells = [
        (
            row.flow or "frame by frame",
            *(number(value, 2) for value in (row.miou, row.tiou, row.tc)),
            *(_lost(value) for value in (row.miou_loss, row.tiou_loss, row.tc_loss)),
            number(row.ms, 1),
        )
        for row in rows
    ]
    slowest = next((row.flow for row in rows if row.flow), "")
    return [
        _table(head, cells),
        f"{rows[0].data}, {rows[0].frames} labelled frames; lost is what {slowest} has more. In percent; "
        "a frame's time is that of flow and network one after the other.",
    ]


def _lost(value: float | None) -> str:
    return "" if value is None else _signed(value, 2)


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


_SECTIONS: dict[str, Callable[[Sequence[Row]], list[str]]] = {
    "warp": _warp,
    "stream": _stream,
    "streams": _streams,
    "memory": _memory,
    "flow": _flow,
}
