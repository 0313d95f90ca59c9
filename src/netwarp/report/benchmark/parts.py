"""The benchmark's parts by name: a new one is a function that yields rows, a line here, and its table and panel."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from netwarp.report.benchmark.asked import Asked
from netwarp.report.benchmark.flow import measure_flow
from netwarp.report.benchmark.memory import measure_memory
from netwarp.report.benchmark.own_process import Apart, Tell
from netwarp.report.benchmark.rows import Row
from netwarp.report.benchmark.stream import measure_stream
from netwarp.report.benchmark.together import measure_together
from netwarp.report.benchmark.warp import measure_warp

__all__ = ["PARTS", "Measure"]

Measure = Callable[[Asked, Tell, Apart], Iterator[Row]]
"""Yields rows as they are done; told what is being done, and how to do it in another process."""

PARTS: dict[str, Measure] = {
    "warp": measure_warp,
    "stream": measure_stream,
    "streams": measure_together,
    "memory": measure_memory,
    "flow": measure_flow,
}
