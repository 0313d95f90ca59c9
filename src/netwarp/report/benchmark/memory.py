"""Resident memory along a video and with several of them: each in a process of its own, with a small network."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from netwarp.engine.stream import segment
from netwarp.errors import NetWarpError
from netwarp.report.benchmark.asked import Asked
from netwarp.report.benchmark.networks import SMALL, Around, load_network
from netwarp.report.benchmark.own_process import Apart, Tell
from netwarp.report.benchmark.resident import resident_mib
from netwarp.report.benchmark.rows import BesideRow, LengthRow, SlopeRow
from netwarp.report.benchmark.stream import load_loops
from netwarp.report.benchmark.together import Crowd, chosen, run_crowd
from netwarp.report.benchmark.video import open_street, write_street

__all__ = ["measure_memory", "memory_along", "slope"]


def measure_memory(asked: Asked, tell: Tell, apart: Apart) -> Iterator[LengthRow | BesideRow | SlopeRow]:
    """Rows for each model: along a video, with several, and what that comes to."""
    amounts = asked.amounts
    size = amounts.small_size
    with tempfile.TemporaryDirectory(prefix="netwarp-benchmark-") as folder:
        for around in chosen(SMALL, amounts.trained):
            tell(f"{around.name}: {max(amounts.lengths)} frames")
            along: list[LengthRow] = []
            for row in apart(tell, asked.threads, memory_along, around, asked, Path(folder)):
                along.append(row)
                yield row
            beside: list[BesideRow] = []
            for streams in amounts.together:
                tell(f"{around.name}: {streams} streams")
                frames = max(1, amounts.lengths[0] // 2)
                crowd = Crowd(
                    SMALL, around, None, asked.flow, asked.device, size, streams, frames, prepare=asked.prepare
                )
                for found in apart(tell, asked.threads, run_crowd, crowd, Path(folder)):
                    beside.append(BesideRow(SMALL.title, size, around.name, streams, found.resident_mib))
                    yield beside[-1]
            yield SlopeRow(
                SMALL.title,
                around.name,
                1000 * slope([row.frames for row in along], [row.resident_mib for row in along]),
                slope([row.streams for row in beside], [row.resident_mib for row in beside]),
            )


def memory_along(around: Around, asked: Asked, folder: Path, tell: Tell) -> Iterator[LengthRow]:
    """Memory of this process after so many frames.

    Args:
        around: The model.
        asked: How much.
        folder: For the video.
        tell: Told how far it is.
    """
    asked.prepare()
    size, lengths = asked.amounts.small_size, asked.amounts.lengths
    video = write_street(folder, size, max(lengths))
    model = around.build(load_network(SMALL, None, asked.device), asked.flow)
    load_loops()
    results = segment(open_street(video, size), model)
    with closing(results):  # type: ignore[type-var]
        for number, _ in enumerate(results, 1):
            if number % 50 == 0:
                tell(f"{around.name}: frame {number} of {max(lengths)}")
            if number in lengths:
                yield LengthRow(SMALL.title, size, around.name, number, resident_mib())
            if number == max(lengths):
                return
    raise NetWarpError(f"the video ended before the {max(lengths)} frames that memory is measured along")


def slope(at: Sequence[float], values: Sequence[float]) -> float:
    """Of the straight line nearest to some values (least squares).

    >>> round(slope([1, 2, 4], [10.0, 12.0, 16.0]), 6)
    2.0
    """
    return float(np.polyfit(at, values, 1)[0])
