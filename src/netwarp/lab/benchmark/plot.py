"""The parts that were measured as one picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from netwarp.lab.benchmark.tables import TITLES, Figures, Row, label_of, size_text, unique
from netwarp.lab.output import new_figure
from netwarp.lab.study.figures import COLOURS, MARKS

LIMIT = "0.35"
WIDTH = 11.0
LINES = 3.0
"""Inches of height that a panel of lines takes."""

_BETWEEN = 0.8
"""Bars' worth of space between groups of them."""

_WARPS = {
    "ours_over_add": ("warp_combine", COLOURS[0]),
    "compiled_over_add": ("torch.compile", COLOURS[2]),
    "eager_over_add": ("eager: grid_sample and a sum", COLOURS[1]),
}
"""What the bars of the warp are called, and their colours."""


def figure_of(figures: Figures) -> Any:  # noqa: ANN401
    """Draw a panel for each part with rows."""
    drawn = {part: tables for part in TITLES if (tables := figures.tables(part))}
    heights = {part: _height(part, tables) for part, tables in drawn.items()}
    wide = [(part, part) for part in ("warp", "stream") if part in drawn]
    narrow = [part for part in ("streams", "memory", "flow", "engines") if part in drawn]
    layout = wide + [(narrow[i], narrow[min(i + 1, len(narrow) - 1)]) for i in range(0, len(narrow), 2)]
    rows = [max(heights[part] for part in pair) for pair in layout]
    figure = new_figure(WIDTH, sum(rows) + 0.9)
    for part, axes in figure.subplot_mosaic(layout, height_ratios=rows).items():
        _PANELS[part](axes, drawn[part])
        above = part in ("warp", "flow")
        if above:
            _legend_above(axes)
        axes.set_title(TITLES[part], fontsize=10, loc="left", fontweight="bold", pad=22 if above else 6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=8.5)
    figure.suptitle(f"{figures.title}\n{figures.machine}", fontsize=9)
    return figure


def _height(part: str, tables: Mapping[str, list[Row]]) -> float:
    """Inches that a panel needs for its bars; for lines always as many."""
    rows = tables.get("rows", [])
    if part == "warp":
        return 1.2 + 0.145 * sum(_BETWEEN + sum(row[name] is not None for name in _WARPS) for row in rows)
    if part == "stream":
        return 0.9 + 0.19 * (len(rows) + _BETWEEN * len(unique(rows, "network")))
    if part == "flow":
        return 1.2 + 0.16 * (len(rows) + len(unique(rows, "flow")) / 3)
    return LINES


def _legend_above(axes: Any) -> None:  # noqa: ANN401
    """Between title and panel, where no bar can be; an entry for each label."""
    handles, labels = axes.get_legend_handles_labels()
    each = dict(zip(labels, handles, strict=True))
    axes.legend(
        each.values(), each.keys(), fontsize=8.5, loc="lower left", bbox_to_anchor=(-0.01, 1), ncols=len(each),
        frameon=False, borderpad=0.2,
    )  # fmt: skip


def _beside(axes: Any, text: str, at: float, place: float, **more: Any) -> None:  # noqa: ANN401
    """Write at the end of a bar."""
    style = {"fontsize": 7.5} | more
    axes.annotate(text, (at, place), (3, 0), textcoords="offset points", va="center", **style)


def _ratios(axes: Any, what: str, ticks: Sequence[tuple[float, str]], end: float) -> None:  # noqa: ANN401
    """What bars from 1 on have in common: ticks from above, and ``what`` is 1."""
    axes.set_yticks([at for at, _ in ticks], [name for _, name in ticks])
    axes.set_ylim(end - _BETWEEN - 0.2, -0.8)
    axes.set_xlabel(what, fontsize=9)
    axes.grid(axis="x", color="0.9")


def _warp(axes: Any, tables: Mapping[str, list[Row]]) -> None:  # noqa: ANN401
    """Times the limit takes, forward; bars begin at the limit."""
    rows = tables["rows"]
    place, ticks = 0.0, []
    for row in rows:
        shown = {name: row[name] for name in _WARPS if row[name] is not None}
        label = label_of(row, unique(rows, "dtype") != ["float32"]).replace(", ", "\n", 1)
        ticks.append((place + (len(shown) - 1) / 2, label))
        for name, value in shown.items():
            legend, colour = _WARPS[name]
            axes.barh(place, value - 1, left=1, height=0.85, color=colour, label=legend)
            _beside(axes, f"{value:.2g}" if value < 10 else f"{value:.0f}", max(value, 1), place)
            place += 1
        place += _BETWEEN
    axes.axvline(1, color=LIMIT, linewidth=1.5, label="limit: torch.add")
    axes.set_xscale("log")
    values = [row[name] for row in rows for name in _WARPS if row[name] is not None]
    low, high = min(0.7, 0.9 * min(values)), 1.5 * max(values)
    axes.set_xlim(low, high)
    axes.set_xticks([m * 10.0**e for e in range(-3, 6) for m in (1, 2, 5) if low <= m * 10.0**e <= high])
    axes.set_xticks([], minor=True)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    _ratios(axes, "time of the forward pass over the limit", ticks, place)


def _stream(axes: Any, tables: Mapping[str, list[Row]]) -> None:  # noqa: ANN401
    """Bars from frame by frame's 1 on, by network."""
    rows = tables["rows"]
    place, ticks = 0.0, []
    for colour, network in zip(COLOURS, unique(rows, "network"), strict=False):
        for row in (row for row in rows if row["network"] == network):
            if row["flow"] is None:
                ticks.append((place, f"{network}, {size_text(row['size'])}: {row['model']}"))
                _beside(axes, f"{row['ms']:.0f} ms a frame", 1, place, fontsize=8, color=LIMIT)
            else:
                every = "" if row["keyframes"] == "all" else f", keyframes {row['keyframes']}"
                every += ", edges" if row["edges"] == "on" else ""
                ticks.append((place, row["model"] + every))
                axes.barh(place, row["ratio"] - 1, left=1, height=0.7, color=colour)
                _beside(axes, f"{row['ratio']:.3f} ×", max(row["ratio"], 1), place, fontsize=8)
            place += 1
        place += _BETWEEN
    axes.axvline(1, color=LIMIT, linewidth=1.5)
    largest = max(1.02, *(row["ratio"] for row in rows))
    axes.set_xlim(min(1, *(row["ratio"] for row in rows)) - 0.02, largest + 0.12 * (largest - 1) + 0.02)
    _ratios(axes, "time a frame, in times of the network frame by frame", ticks, place)


def _lines(axes: Any, rows: Sequence[Row], over: str, value: str, **labels: str) -> None:  # noqa: ANN401
    """A line for each model."""
    for model, colour, mark in zip(unique(rows, "model"), COLOURS, MARKS, strict=False):
        own = [row for row in rows if row["model"] == model]
        label = f"{own[0]['network']}, {model}"
        axes.plot([row[over] for row in own], [row[value] for row in own], color=colour, marker=mark, label=label)
    axes.set_ylim(0, 1.25 * max(row[value] for row in rows))
    axes.set_xlabel(labels["x"], fontsize=9)
    axes.set_ylabel(labels["y"], fontsize=9)
    axes.grid(color="0.9")
    axes.legend(fontsize=8, frameon=False, loc="lower left")


def _streams(axes: Any, tables: Mapping[str, list[Row]]) -> None:  # noqa: ANN401
    _lines(axes, tables["rows"], "streams", "fps", x="streams", y="frames a second in sum")
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted(unique(tables["rows"], "streams")))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _memory(axes: Any, tables: Mapping[str, list[Row]]) -> None:  # noqa: ANN401
    _lines(
        axes, tables["by_length"], "frames", "resident_mib", x="frames since the video began", y="resident memory (MiB)"
    )
    axes.set_xlim(left=0)


def _flow(axes: Any, tables: Mapping[str, list[Row]]) -> None:  # noqa: ANN401
    rows = tables["rows"]
    flows, sizes, times = (unique(rows, name) for name in ("flow", "size", "ms"))
    height = 0.8 / len(sizes)
    for index, size in enumerate(sizes):
        own = {
            flows.index(row["flow"]) + (index - (len(sizes) - 1) / 2) * height: row["ms"]
            for row in rows
            if row["size"] == size
        }
        axes.barh(list(own), list(own.values()), height=height, color=COLOURS[index], label=size_text(size))
        for place, ms in own.items():
            _beside(axes, f"{ms:.{0 if ms >= 100 else 1}f}", ms, place)
    axes.set_xscale("log")
    axes.set_xlim(0.5 * min(times), 3 * max(times))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_yticks(range(len(flows)), flows)
    axes.invert_yaxis()
    axes.set_xlabel("time (ms)", fontsize=9)
    axes.grid(axis="x", color="0.9")


def _engines(axes: Any, tables: Mapping[str, list[Row]]) -> None:  # noqa: ANN401
    """Bars of what ran, by network."""
    rows = [row for row in tables["rows"] if row["ms"] is not None]
    networks = unique(rows, "network")
    for place, row in enumerate(rows):
        axes.barh(place, row["ms"], height=0.7, color=COLOURS[networks.index(row["network"])], label=row["network"])
        _beside(axes, f"{row['ratio']:.2f} ×", row["ms"], place)
    axes.set_yticks(range(len(rows)), [row["how"] for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.25 * max((row["ms"] for row in rows), default=1))
    axes.set_xlabel("ms a frame", fontsize=9)
    handles, labels = axes.get_legend_handles_labels()
    each = dict(zip(labels, handles, strict=True))
    axes.legend(each.values(), each.keys(), fontsize=8)


_PANELS: dict[str, Callable[[Any, Mapping[str, list[Row]]], None]] = {
    "warp": _warp,
    "stream": _stream,
    "streams": _streams,
    "memory": _memory,
    "flow": _flow,
    "engines": _engines,
}
