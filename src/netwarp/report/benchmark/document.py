"""What was measured as one JSON document; docs/speed.md says what is in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from netwarp.report.benchmark.asked import Asked
from netwarp.report.benchmark.machine import Machine, machine_line
from netwarp.report.benchmark.rows import Row

__all__ = ["FORMAT", "Measured", "document", "heading", "title"]

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
