"""The figures: each is declared once, for the JSON, the tables and docs/speed.md."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from netwarp.lab.benchmark.plan import Request
from netwarp.lab.machine import Machine, machine_line
from netwarp.lab.output import EMPTY, markdown_table, number

FORMAT = 1
"""Grows when a field changes its meaning or goes; new fields come without."""

Row = dict[str, Any]
"""Figures by their names; None for what does not apply."""

Found = tuple[str, Row]
"""A row, and which table it is of: a name out of :data:`TABLES`."""

TITLES = {
    "warp": "Warp and sum",
    "stream": "A stream against the network frame by frame",
    "streams": "Several streams in one process",
    "memory": "Memory",
    "flow": "Flow",
    "engines": "A network in several engines",
}


class Column(NamedTuple):
    """A figure of a row."""

    name: str  # in the JSON
    head: str = ""  # of its column; without, it is in the JSON alone
    show: Callable[[Any], str] = str  # how a cell is written


def ms(value: float | None) -> str:
    """Three figures that count, since maps take microseconds or seconds."""
    if value is None:
        return EMPTY
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3}f}"


def size_text(sides: Sequence[int]) -> str:
    """A frame's size, width first.

    >>> size_text((360, 480))
    '480×360'
    """
    return "×".join(map(str, reversed(sides)))


def label_of(warp: Row, with_dtype: bool = True) -> str:
    """The maps that were warped."""
    return ", ".join(["×".join(map(str, warp["shape"])), warp["format"], *([warp["dtype"]] if with_dtype else [])])


def unique(rows: Sequence[Row], name: str) -> list[Any]:
    """The values of a figure, each once, in the order of the rows."""
    return list(dict.fromkeys(row[name] for row in rows))


def _percent(value: float | None) -> str:
    return EMPTY if value is None else f"{100 * value:.0f} %"


def _agreement(value: float | None) -> str:
    return EMPTY if value is None else f"{100 * value:.3f} %"


def _lost(value: float | None) -> str:
    return "" if value is None else number(value, 2, signed=True)


whole, one, two, three = (partial(number, digits=digits) for digits in range(4))
_more = partial(number, digits=1, signed=True)

_NAMES = (Column("network"), Column("size"), Column("model", "model"))

TABLES: dict[str, tuple[Column, ...]] = {
    # Ratios are medians of rounds, and need not be the quotients of the medians beside them.
    "warp.rows": (
        *map(Column, ("shape", "format", "dtype", "motion")),
        Column("add_ms", "add", ms),
        Column("clone_ms", "clone", ms),
        Column("ours_ms", "ours", ms),
        Column("eager_ms", "eager", ms),
        Column("compiled_ms", "compile", ms),
        Column("ours_trained_ms", "ours with backward", ms),
        Column("ours_backward_ms", "ours, backward alone", ms),
        Column("eager_trained_ms", "eager with backward", ms),
        Column("compiled_trained_ms", "compile with backward", ms),
        *map(Column, ("add_kept_ms", "copy_kept_ms", "ours_kept_ms")),
        Column("ours_over_add", "ours/add", two),
        Column("ours_over_add_kept", "ours/add, kept", two),
        *map(Column, ("eager_over_add", "compiled_over_add")),
        Column("eager_over_ours", "eager/ours", one),
        Column("compiled_over_ours", "compile/ours", one),
        Column("eager_over_ours_trained", "eager/ours with backward", one),
        Column("compiled_over_ours_trained", "compile/ours with backward", one),
        Column("of_copy", "of clone's bandwidth", _percent),
        Column("of_copy_kept", "of copy's, kept", _percent),
        Column("of_copy_backward", "backward, of clone's", _percent),
        Column("shift_off", "shift off", lambda value: f"{value:.0e}" if value else "0"),
        Column("not_compiled"),
    ),
    "stream.rows": (
        *(
            *_NAMES,
            Column("flow"),
            Column("keyframes", "keyframes"),
            Column("edges", "edges"),
            Column("frames"),
            Column("runs"),
        ),
        Column("network_share", "network on", _percent),
        Column("ms", "ms a frame", one),
        Column("ratio", "× frame by frame", three),
        Column("rendered_ms", "ms, video written", one),
        Column("rendered_ratio", "× frame by frame, written", three),
    ),
    "streams.rows": (
        *(*_NAMES, Column("streams", "streams"), Column("runs")),
        Column("fps", "frames a second in sum", one),
        Column("ratio", "× one stream", two),
        Column("resident_mib", "resident MiB", whole),
    ),
    "memory.by_length": (*_NAMES, Column("frames"), Column("resident_mib", "after {frames} frames", one)),
    "memory.by_streams": (*_NAMES, Column("streams"), Column("resident_mib", "streams: {streams}", one)),
    "memory.slopes": (
        *map(Column, ("network", "model")),
        Column("mib_per_1000_frames", "for 1,000 frames more", _more),
        Column("mib_per_stream", "for one stream more", _more),
    ),
    "flow.rows": (
        *map(Column, ("flow", "size")),
        Column("ms", "ms, {size}", ms),
        Column("ratio", "× dis:medium, {size}", two),
    ),
    "flow.quality": (
        Column("flow", "training-free with", lambda flow: flow or "frame by frame"),
        *map(Column, ("data", "frames")),
        Column("miou", "IoU", two),
        Column("tiou", "tIoU, 2 px", two),
        Column("tc", "tc", two),
        Column("miou_loss", "IoU lost", _lost),
        Column("tiou_loss", "tIoU lost", _lost),
        Column("tc_loss", "tc lost", _lost),
        Column("ms", "ms a frame", one),
    ),
    "engines.rows": (
        *map(Column, ("network", "size")),
        Column("how", "run by"),
        Column("ms", "ms a frame", one),
        Column("ratio", "× PyTorch", three),
        Column("agreement", "labels as PyTorch's", _agreement),
        Column("failed"),
    ),
}


class Figures:
    """What there is so far; ``document`` is the JSON."""

    def __init__(self, request: Request, machine: Machine) -> None:
        settings = {name: getattr(request, name) for name in ("runs", "flow", "motion", "cpu_time", "data", "base")}
        self.parts: dict[str, dict[str, Any]] = {}  # of each part that has begun its seconds and its tables
        self.document = {
            "format": FORMAT,
            "quick": request.quick,
            "machine": machine,
            "settings": settings,
            "parts": self.parts,
        }
        self.title = "netwarp benchmark" + (" (quick run: the figures mean nothing)" if request.quick else "")
        self.machine = machine_line(machine)
        said = [self.machine]
        said += ["CPU time of all threads for the warp"] if request.cpu_time else []
        said += [f"{request.runs} runs of everything"] if request.runs else []
        self.heading = f"# {self.title}\n\n{'; '.join(said)}."

    def begin(self, part: str) -> None:
        """Note that a part is being measured; until its ``seconds`` are known it counts as cut off."""
        self.parts[part] = {"seconds": None}

    def add(self, part: str, table: str, row: Row) -> None:
        """Take a row: plain values, of six figures that count; None for what is no number."""
        columns = TABLES[f"{part}.{table}"]
        self.parts[part].setdefault(table, []).append({column.name: plain(row[column.name]) for column in columns})

    def tables(self, part: str) -> dict[str, list[Row]]:
        """The rows of a part, by table; a table without any is left out."""
        return {name: rows for name, rows in self.parts.get(part, {}).items() if name != "seconds"}

    @property
    def any(self) -> bool:
        """Whether there is a row."""
        return any(map(self.tables, self.parts))


def plain(value: Any) -> Any:  # noqa: ANN401
    """A float to six figures that count, or None for what is no number; other values as they are."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None


def part_text(part: str, tables: Mapping[str, list[Row]]) -> str:
    """A part's section: its title, tables, and what they show."""
    return "\n\n".join([f"## {TITLES[part]}", *(_SECTIONS[part](tables) if tables else ())])


def _table(rows: Sequence[Row], columns: Sequence[Column], head: str = "", label: Callable[[Row], str] = str) -> str:
    """A line for each row, which begins with its label where there is a head for that."""
    columns = [column for column in columns if column.head]
    cells = [[column.show(row[column.name]) for column in columns] for row in rows]
    labels = [[label(row)] if head else [] for row in rows]
    heads = [*([head] if head else []), *(column.head for column in columns)]
    return markdown_table(heads, [first + rest for first, rest in zip(labels, cells, strict=True)])


def _warp(tables: Mapping[str, list[Row]]) -> list[str]:
    rows, columns = tables["rows"], TABLES["warp.rows"]
    return [
        _table(rows, [column for column in columns if column.show is ms], "ms", label_of),
        _table(rows, [column for column in columns if column.show is not ms], "ratios", label_of),
        f"Flow is {' and '.join(sorted(unique(rows, 'motion')))}. `warp_combine` against `grid_sample`, two multiplies "
        "and an add (eager), `torch.compile` of that, and the memory's limit, `torch.add` and `clone` of the same "
        "maps. Kept: into memory that is there already. Shift off: the largest difference to eager at a flow of whole "
        "pixels, where ours is exact.",
        *(f"Without `torch.compile`: {why}." for why in sorted(filter(None, unique(rows, "not_compiled")))),
    ]


def _network(row: Row) -> str:
    return f"{row['network']}, {size_text(row['size'])}"


def _stream(tables: Mapping[str, list[Row]]) -> list[str]:
    rows, columns = tables["rows"], TABLES["stream.rows"]
    if all(row["rendered_ms"] is None for row in rows):
        columns = columns[:-2]
    flows = " and ".join(sorted(filter(None, unique(rows, "flow"))))
    return [
        _table(rows, columns, "network, frames", _network),
        f"`netwarp.segment` from an .mp4 to labels, flow {flows or 'none'}. Runs of whole streams took turns; medians "
        "of runs, and of the ratios of runs in one turn. Network on: its share of the frames, the others get its last "
        "answer along the flow. Written: `netwarp.inference.render` of an overlay .mp4 too.",
    ]


def _streams(tables: Mapping[str, list[Row]]) -> list[str]:
    return [
        _table(tables["rows"], TABLES["streams.rows"], "network, frames", _network),
        "Threads of one process with one model, each with a video of its own; the process's "
        "memory, libraries and network included.",
    ]


def _pivot(part: str, tables: Mapping[str, list[Row]], line: str, head: str) -> str:
    """A line for each value of one figure; the others' heads say which row they are of."""
    lines: dict[str, dict[str, str]] = {}
    for name, rows in tables.items():
        columns = [column for column in TABLES[f"{part}.{name}"] if column.head and column.name != line]
        for row in rows:
            words = row | {"size": size_text(row.get("size", ()))}
            cells = {column.head.format(**words): column.show(row[column.name]) for column in columns}
            lines.setdefault(row[line], {}).update(cells)
    heads = list(dict.fromkeys(text for cells in lines.values() for text in cells))
    return markdown_table(
        [head, *heads], [[first, *(cells.get(text, EMPTY) for text in heads)] for first, cells in lines.items()]
    )


def _memory(tables: Mapping[str, list[Row]]) -> list[str]:
    row = tables["by_length"][0]
    return [
        _pivot("memory", tables, "model", "resident MiB"),
        f"{_network(row)}. Libraries and network included; a process for the whole length, and one for each number of "
        "streams. For more: straight lines through the figures before.",
    ]


def _flow(tables: Mapping[str, list[Row]]) -> list[str]:
    parts = [_pivot("flow", {"rows": tables["rows"]}, "flow", "flow")]
    if quality := tables.get("quality"):
        slowest = next(filter(None, unique(quality, "flow")), "")
        parts += [
            _table(quality, TABLES["flow.quality"]),
            f"{quality[0]['data']}, {quality[0]['frames']} labelled frames; lost is what {slowest} has more. In "
            "percent; a frame's time is that of flow and network one after the other.",
        ]
    return parts


def _engines(tables: Mapping[str, list[Row]]) -> list[str]:
    rows = tables["rows"]
    return [
        _table(rows, TABLES["engines.rows"], "network, frames", _network),
        "A frame through the network alone, preprocessing and labels included, in turns; engines compute in float32 "
        "unless their name says otherwise.",
        *(f"{row['how']} does not run here: {row['failed']}." for row in rows if row["failed"]),
    ]


_SECTIONS: dict[str, Callable[[Mapping[str, list[Row]]], list[str]]] = {
    "warp": _warp,
    "stream": _stream,
    "streams": _streams,
    "memory": _memory,
    "flow": _flow,
    "engines": _engines,
}
