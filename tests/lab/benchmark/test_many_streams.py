"""Several streams at once: their rate in sum, and that one that fails stops all."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from netwarp.errors import InputError
from netwarp.lab.benchmark import many_streams as together
from netwarp.lab.benchmark.harness import here
from netwarp.lab.benchmark.many_streams import StreamGroup, Together, chosen, measure_together, rate_of, run_crowd
from netwarp.lab.benchmark.networks import SMALL, TRAINING_FREE
from netwarp.lab.benchmark.plan import QUICK, BenchmarkPlan


def test_one_stream_has_its_own_rate():
    assert rate_of([[5.0, 5.5, 6.0, 6.5]], 3) == 2.0


def test_each_counts_over_its_own_whole_frames():
    """The second is halfway through a frame when the first is done, which is neither lost nor counted."""
    assert rate_of([[0, 1, 2, 3], [0, 2, 4]], 3) == pytest.approx(1 + 1 / 2)


def test_what_came_after_the_first_was_done_does_not_count():
    assert rate_of([[0, 1, 2], [0, 1, 10]], 2) == pytest.approx(1 + 1)
    assert rate_of([[0, 1, 2], [0, 10]], 2) == pytest.approx(1)


def test_ratios_are_taken_within_a_turn(monkeypatch: pytest.MonkeyPatch):
    rates = {1: iter([10.0, 20.0, 10.0]), 2: iter([11.0, 24.0, 13.0])}
    order: list[int] = []

    def apart(tell, threads, function, crowd, folder):
        assert function is run_crowd
        for rate in rates[crowd.streams]:
            order.append(crowd.streams)
            yield Together(rate, 100.0 * crowd.streams)

    amounts = replace(QUICK, together=(1, 2), together_runs=3, together_frames=20)
    one, two = measure_together(BenchmarkPlan(amounts=amounts), lambda _: None, apart)
    assert order == [1, 2, 2, 1, 1, 2]
    assert (one.streams, one.fps, one.ratio, one.resident_mib) == (1, 10.0, 1.0, 100.0)
    assert (two.streams, two.fps, two.runs) == (2, 13.0, 3)
    assert two.ratio == pytest.approx(1.2)


def test_real_streams_that_are_small(tmp_path: Path):
    crowd = StreamGroup(
        SMALL, chosen(SMALL, trained=True)[0], None, "dis", "cpu", (32, 48), streams=2, frames=3, runs=2
    )
    before = threading.active_count()
    found = list(run_crowd(crowd, tmp_path, lambda _: None))
    assert len(found) == 2
    assert all(run.fps > 0 and run.resident_mib > 50 for run in found)
    assert threading.active_count() <= before + 1  # but for the warp's own pool


def test_a_stream_that_fails_stops_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real, turn = together.open_street, iter([False, True, False])

    def open_street(path, size):
        if next(turn):
            raise InputError("this one is broken")
        return real(path, size)

    monkeypatch.setattr(together, "open_street", open_street)
    crowd = StreamGroup(SMALL, TRAINING_FREE, None, "dis", "cpu", (32, 48), streams=3, frames=3)
    with pytest.raises(InputError, match="this one is broken"):
        list(run_crowd(crowd, tmp_path, lambda _: None))


def test_here_and_there_it_is_the_same(monkeypatch: pytest.MonkeyPatch):
    """The whole part in this process, with a small network in place of ESPNet."""
    monkeypatch.setitem(together.NETWORKS, "espnet", SMALL)
    amounts = replace(QUICK, together=(1, 2), together_size=(32, 48), together_frames=2, trained=True)
    monkeypatch.setattr(together, "LEAST", 2)
    rows = list(measure_together(BenchmarkPlan(amounts=amounts), lambda _: None, here))
    assert [(row.model, row.streams) for row in rows] == [
        ("NetWarp at at_eighth, FlowCNN at layer stride", 1), ("NetWarp at at_eighth, FlowCNN at layer stride", 2),
        ("training-free", 1), ("training-free", 2),
    ]  # fmt: skip
    assert rows[0].ratio == 1
