"""The parts that were measured as one picture."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from netwarp.lab.benchmark.results import FlowRow, LengthRow, Measured, Row, StreamRow, TogetherRow, WarpRow, title
from netwarp.lab.benchmark.tables import TITLES, shape_text, size_text
from netwarp.lab.machine import machine_line
from netwarp.lab.output import new_figure
from netwarp.lab.study.figures import COLOURS, MARKS
from netwarp.output_files import write_file

OURS, EAGER, COMPILED, LIMIT = COLOURS[0], COLOURS[1], COLOURS[2], "0.35"
Kind = TypeVar("Kind")

WIDTH = 11.0
LINES = 3.0
"""Inches of height that a panel of lines takes."""

_BETWEEN = 0.8
"""Bars' worth of space between groups of them."""

_LEGEND_ABOVE = ("warp", "flow")


def draw(measured: Measured, path: Path) -> None:
    """Draw what there is."""
    figure, data = figure_of(measured), io.BytesIO()
    figure.savefig(data, format="png")
    write_file(path, data.getvalue())


def figure_of(measured: Measured) -> Any:  # noqa: ANN401
    """The figure that :func:`draw` writes: a panel for each part with rows."""
    drawn = {part: rows for part, rows in measured.rows.items() if rows}
    wide = [part for part in ("warp", "stream") if part in drawn]
    narrow = [part for part in ("streams", "memory", "flow") if part in drawn]
    layout: list[list[str]] = [[part, part] for part in wide]
    heights = [_height(drawn[part], part) for part in wide]
    for pair in (narrow[i : i + 2] for i in range(0, len(narrow), 2)):
        layout.append([pair[0], pair[-1]])
        heights.append(max(_height(drawn[part], part) for part in pair))
    figure = new_figure(WIDTH, sum(heights) + 0.9)
    panels = figure.subplot_mosaic(layout, height_ratios=heights)
    for part, axes in panels.items():
        _PANELS[part](axes, drawn[part])
        axes.set_title(TITLES[part], fontsize=10, loc="left", fontweight="bold", pad=22 if part in _LEGEND_ABOVE else 6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=8.5)
    figure.suptitle(f"{title(measured.plan)}\n{machine_line(measured.machine)}", fontsize=9)
    return figure


def _height(rows: Sequence[Row], part: str) -> float:
    """Inches that a panel needs for its bars; for lines always as many."""
    if part == "warp":
        return 1.2 + 0.145 * sum(_BETWEEN + 2 + (row.compiled_over_add is not None) for row in _of(WarpRow, rows))
    if part == "stream":
        networks = {row.network for row in _of(StreamRow, rows)}
        return 0.9 + 0.19 * (len(rows) + _BETWEEN * len(networks))
    if part == "flow":
        times = _of(FlowRow, rows)
        return 1.2 + 0.16 * (len(times) + len({row.flow for row in times}) / 3)
    return LINES


def _of(kind: type[Kind], rows: Sequence[Row]) -> list[Kind]:
    return [row for row in rows if isinstance(row, kind)]


def _legend_above(axes: Any, columns: int) -> None:  # noqa: ANN401
    """Between title and panel, where no bar can be; an entry for each label."""
    handles, labels = axes.get_legend_handles_labels()
    each = dict(zip(labels, handles, strict=True))
    axes.legend(
        each.values(), each.keys(), fontsize=8.5, loc="lower left", bbox_to_anchor=(-0.01, 1), ncols=columns,
        frameon=False, borderpad=0.2,
    )  # fmt: skip


def _warp(axes: Any, rows: Sequence[Row]) -> None:  # noqa: ANN401
    """Times the limit takes, forward; bars begin at the limit."""
    warps = _of(WarpRow, rows)
    place, ticks = 0.0, []
    several = len({row.dtype for row in warps}) > 1 or any(row.dtype != "float32" for row in warps)
    for row in warps:
        bars = [
            ("warp_combine", row.ours_over_add, OURS),
            ("torch.compile", row.compiled_over_add, COMPILED),
            ("eager: grid_sample and a sum", row.eager_over_add, EAGER),
        ]
        shown = [(name, value, colour) for name, value, colour in bars if value is not None]
        ticks.append((place + (len(shown) - 1) / 2, _name(row, several)))
        for name, value, colour in shown:
            axes.barh(place, value - 1, left=1, height=0.85, color=colour, label=name)
            axes.annotate(
                f"{value:.2g}" if value < 10 else f"{value:.0f}", (max(value, 1), place), (3, 0),
                textcoords="offset points", va="center", fontsize=7.5,
            )  # fmt: skip
            place += 1
        place += _BETWEEN
    axes.axvline(1, color=LIMIT, linewidth=1.5, label="limit: torch.add")
    axes.set_xscale("log")
    largest = max(value for row in warps for value in (row.eager_over_add, row.compiled_over_add or 0))
    low, high = min(0.7, *(0.9 * row.ours_over_add for row in warps)), 1.5 * largest
    axes.set_xlim(low, high)
    axes.set_xticks([m * 10.0**e for e in range(-3, 6) for m in (1, 2, 5) if low <= m * 10.0**e <= high])
    axes.set_xticks([], minor=True)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_yticks([at for at, _ in ticks], [name for _, name in ticks])
    axes.set_ylim(place - _BETWEEN - 0.2, -0.8)
    axes.set_xlabel("time of the forward pass over the limit", fontsize=9)
    axes.grid(axis="x", color="0.9")
    _legend_above(axes, 4)


def _name(row: WarpRow, several: bool) -> str:
    return f"{shape_text(row.shape)}\n{row.format}" + (f", {row.dtype}" if several else "")


def _stream(axes: Any, rows: Sequence[Row]) -> None:  # noqa: ANN401
    """Bars from frame by frame's 1 on, by network."""
    streams = _of(StreamRow, rows)
    place, ticks = 0.0, []
    largest = max(1.02, *(row.ratio for row in streams))
    networks = list(dict.fromkeys(row.network for row in streams))
    for colour, network in zip(COLOURS, networks, strict=False):
        own = [row for row in streams if row.network == network]
        for row in own:
            single = row.flow is None
            if not single:
                axes.barh(place, row.ratio - 1, left=1, height=0.7, color=colour)
            said = f"{row.ms:.0f} ms a frame" if single else f"{row.ratio:.3f} ×"
            axes.annotate(
                said, (max(row.ratio, 1), place), (4, 0), textcoords="offset points", va="center", fontsize=8,
                color=LIMIT if single else "black",
            )  # fmt: skip
            ticks.append((place, f"{network}, {size_text(row.size)}: {row.model}" if single else row.model))
            place += 1
        place += _BETWEEN
    axes.axvline(1, color=LIMIT, linewidth=1.5)
    axes.set_yticks([at for at, _ in ticks], [name for _, name in ticks])
    axes.set_ylim(place - _BETWEEN - 0.2, -0.8)
    axes.set_xlim(min(1, *(row.ratio for row in streams)) - 0.02, largest + 0.12 * (largest - 1) + 0.02)
    axes.set_xlabel("time a frame, in times of the network frame by frame", fontsize=9)
    axes.grid(axis="x", color="0.9")


def _streams(axes: Any, rows: Sequence[Row]) -> None:  # noqa: ANN401
    together = _of(TogetherRow, rows)
    lines = {
        model: [row for row in together if row.model == model] for model in dict.fromkeys(r.model for r in together)
    }
    for index, (model, own) in enumerate(lines.items()):
        axes.plot(
            [row.streams for row in own], [row.fps for row in own], color=COLOURS[index], marker=MARKS[index],
            label=f"{own[0].network}, {model}",
        )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted({row.streams for row in together}))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_ylim(0, 1.25 * max(row.fps for row in together))
    axes.set_xlabel("streams", fontsize=9)
    axes.set_ylabel("frames a second in sum", fontsize=9)
    axes.grid(color="0.9")
    axes.legend(fontsize=8, frameon=False, loc="lower left")


def _memory(axes: Any, rows: Sequence[Row]) -> None:  # noqa: ANN401
    lengths = _of(LengthRow, rows)
    for index, model in enumerate(dict.fromkeys(row.model for row in lengths)):
        along = [row for row in lengths if row.model == model]
        axes.plot(
            [row.frames for row in along], [row.resident_mib for row in along], color=COLOURS[index],
            marker=MARKS[index], label=model,
        )  # fmt: skip
    axes.set_ylim(0, 1.25 * max(row.resident_mib for row in lengths))
    axes.set_xlim(left=0)
    axes.set_xlabel(f"frames since the video began ({lengths[0].network})", fontsize=9)
    axes.set_ylabel("resident memory (MiB)", fontsize=9)
    axes.grid(color="0.9")
    axes.legend(fontsize=8, frameon=False, loc="lower right")


def _flow(axes: Any, rows: Sequence[Row]) -> None:  # noqa: ANN401
    times = _of(FlowRow, rows)
    flows, sizes = list(dict.fromkeys(row.flow for row in times)), list(dict.fromkeys(row.size for row in times))
    height = 0.8 / len(sizes)
    for index, size in enumerate(sizes):
        own = [row for row in times if row.size == size]
        at = [flows.index(row.flow) + (index - (len(sizes) - 1) / 2) * height for row in own]
        axes.barh(at, [row.ms for row in own], height=height, color=COLOURS[index], label=size_text(size))
        for place, row in zip(at, own, strict=True):
            axes.annotate(
                f"{row.ms:.{0 if row.ms >= 100 else 1}f}",
                (row.ms, place),
                (3, 0),
                textcoords="offset points",
                va="center",
                fontsize=7.5,
            )
    axes.set_xscale("log")
    axes.set_xlim(0.5 * min(row.ms for row in times), 3 * max(row.ms for row in times))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_yticks(range(len(flows)), flows)
    axes.invert_yaxis()
    axes.set_xlabel("time (ms)", fontsize=9)
    axes.grid(axis="x", color="0.9")
    _legend_above(axes, len(sizes))


_PANELS: dict[str, Callable[[Any, Sequence[Row]], None]] = {
    "warp": _warp,
    "stream": _stream,
    "streams": _streams,
    "memory": _memory,
    "flow": _flow,
}
