"""Memory along a video, and the slopes of straight lines."""

from __future__ import annotations

import mmap
from dataclasses import replace

import pytest

from netwarp.lab.benchmark import many_streams as memory
from netwarp.lab.benchmark.harness import here, resident_mib
from netwarp.lab.benchmark.many_streams import Together, measure_memory, slope
from netwarp.lab.benchmark.plan import QUICK, BenchmarkPlan
from netwarp.lab.benchmark.results import BesideRow, LengthRow, SlopeRow

AMOUNTS = replace(QUICK, small_size=(32, 48), lengths=(2, 4, 5), together=(1, 2))


def test_slope_is_that_of_the_nearest_line():
    assert slope([1, 2, 4, 8], [600 + 12 * n for n in (1, 2, 4, 8)]) == pytest.approx(12)
    assert slope([0, 1, 2], [0, 3, 0]) == pytest.approx(0)


def test_rows_of_a_real_video_that_is_small():
    rows = list(measure_memory(BenchmarkPlan(amounts=AMOUNTS), lambda _: None, here))
    assert [row.frames for row in rows if isinstance(row, LengthRow)] == [2, 4, 5]
    assert [row.streams for row in rows if isinstance(row, BesideRow)] == [1, 2]
    assert all(50 < row.resident_mib < 10_000 for row in rows if not isinstance(row, SlopeRow))
    assert isinstance(rows[-1], SlopeRow)


def test_slopes_are_by_frames_and_by_streams():
    def apart(tell, threads, function, *arguments):
        if function is memory.memory_along:
            around = arguments[0]
            yield from (LengthRow("S", (32, 48), around.name, n, 500 + 0.01 * n) for n in AMOUNTS.lengths)
        else:
            yield Together(1.0, 500 + 7.0 * arguments[0].streams)

    *_, last = measure_memory(BenchmarkPlan(amounts=AMOUNTS), lambda _: None, apart)
    assert last.mib_per_1000_frames == pytest.approx(10)
    assert last.mib_per_stream == pytest.approx(7)


def test_resident_memory_is_that_of_now():
    before = resident_mib()
    # Not by the allocator, which other tests in this process may have told to keep what is freed.
    with mmap.mmap(-1, 32 * 2**20) as taken:
        for _ in range(32):  # not all at once: bytes that are freed may be kept too
            taken.write(b"1" * 2**20)
        during = resident_mib()
    assert 25 < during - before < 40
    assert resident_mib() < during - 25
