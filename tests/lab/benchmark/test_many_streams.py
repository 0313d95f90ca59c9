"""Several streams at once: their rate in sum, their memory, and that one that fails stops all."""

import mmap
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from lab.benchmark.generators import here
from netwarp.errors import InputError
from netwarp.lab.benchmark import many_streams, plan
from netwarp.lab.benchmark.many_streams import (
    StreamGroup,
    measure_memory,
    measure_streams,
    memory_along,
    rate_of,
    resident_mib,
    run_group,
    slope,
)
from netwarp.lab.benchmark.networks import NETWORKS, SMALL, TRAINING_FREE
from netwarp.lab.benchmark.plan import QUICK, Request

REQUEST = Request(parts=[], device="cpu", quick=True)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small network in place of ESPNet, and little of it."""
    amounts = replace(
        QUICK, groups=(1, 2), group_size=(32, 48), group_frames=2, group_runs=3, small_size=(32, 48), lengths=(2, 4, 5)
    )
    monkeypatch.setattr(plan, "QUICK", amounts)
    monkeypatch.setitem(NETWORKS, "espnet", SMALL)
    monkeypatch.setattr(many_streams, "LEAST", 2)


@pytest.mark.parametrize(
    ("stamps", "frames", "rate"),
    [
        ([[5.0, 5.5, 6.0, 6.5]], 3, 2.0),
        # The second is halfway through a frame when the first is done, which is neither lost nor counted.
        ([[0, 1, 2, 3], [0, 2, 4]], 3, 1 + 1 / 2),
        # What came after the first was done does not count.
        ([[0, 1, 2], [0, 1, 10]], 2, 1 + 1),
        ([[0, 1, 2], [0, 10]], 2, 1),
    ],
)
def test_rate_of_all_streams_in_sum(stamps: list[list[float]], frames: int, rate: float):
    assert rate_of(stamps, frames) == pytest.approx(rate)


def test_ratios_are_taken_within_a_turn():
    rates = {1: [10.0, 20.0, 10.0], 2: [11.0, 24.0, 13.0]}
    order: list[int] = []

    def runner(function, group, request, folder):
        assert function is run_group
        for rate in rates[group.streams]:
            order.append(group.streams)
            yield rate, 100.0 * group.streams

    (_, one), (_, two) = measure_streams(REQUEST, lambda _: None, runner)
    assert order == [1, 2, 2, 1, 1, 2]
    assert (one["streams"], one["fps"], one["ratio"], one["resident_mib"]) == (1, 10.0, 1.0, 100.0)
    assert (two["streams"], two["fps"], two["runs"]) == (2, 13.0, 3)
    assert two["ratio"] == pytest.approx(1.2)


def test_a_stream_that_fails_stops_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real, turn = many_streams.open_street, iter([False, True, False])

    def open_street(path, size):
        if next(turn):
            raise InputError("this one is broken")
        return real(path, size)

    monkeypatch.setattr(many_streams, "open_street", open_street)
    group = StreamGroup(SMALL, TRAINING_FREE, (32, 48), streams=3, frames=3)
    with pytest.raises(InputError, match="this one is broken"):
        list(run_group(group, REQUEST, tmp_path, lambda _: None))


def test_real_streams_that_are_small(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(plan, "QUICK", replace(plan.QUICK, trained=True))
    before = threading.active_count()
    rows = [row for _, row in measure_streams(replace(REQUEST, runs=2), lambda _: None, here)]
    assert [(row["model"], row["streams"]) for row in rows] == [
        ("NetWarp at at_eighth, FlowCNN at layer stride", 1), ("NetWarp at at_eighth, FlowCNN at layer stride", 2),
        ("training-free", 1), ("training-free", 2),
    ]  # fmt: skip
    assert rows[0]["ratio"] == 1
    assert all(row["fps"] > 0 and row["resident_mib"] > 50 and row["runs"] == 2 for row in rows)
    assert threading.active_count() <= before + 1  # but for the warp's own pool


def test_memory_of_a_real_video_that_is_small():
    found = list(measure_memory(REQUEST, lambda _: None, here))
    assert [row["frames"] for table, row in found if table == "by_length"] == [2, 4, 5]
    assert [row["streams"] for table, row in found if table == "by_streams"] == [1, 2]
    assert all(50 < row["resident_mib"] < 10_000 for table, row in found if table != "slopes")
    assert found[-1][0] == "slopes"


def test_slopes_are_by_frames_and_by_streams():
    def runner(function, *arguments):
        if function is memory_along:
            yield from ((frames, 500 + 0.01 * frames) for frames in (2, 4, 5))
        else:
            yield 1.0, 500 + 7.0 * arguments[0].streams

    *_, (table, last) = measure_memory(REQUEST, lambda _: None, runner)
    assert table == "slopes"
    assert last["mib_per_1000_frames"] == pytest.approx(10)
    assert last["mib_per_stream"] == pytest.approx(7)
    assert slope({0: 0, 1: 3, 2: 0}) == pytest.approx(0)


def test_resident_memory_is_that_of_now():
    before = resident_mib()
    # Not by the allocator, which other tests in this process may have told to keep what is freed.
    with mmap.mmap(-1, 32 * 2**20) as taken:
        for _ in range(32):  # not all at once: bytes that are freed may be kept too
            taken.write(b"1" * 2**20)
        during = resident_mib()
    assert 25 < during - before < 40
    assert resident_mib() < during - 25
