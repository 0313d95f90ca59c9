"""Times of flow, and what is lost with a faster one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from netwarp.evaluation.scores import Scores
from netwarp.lab.benchmark import flow
from netwarp.lab.benchmark.flow import DIS, flow_times, measure_flow, quality_rows
from netwarp.lab.benchmark.harness import here
from netwarp.lab.benchmark.plan import QUICK, BenchmarkPlan
from netwarp.lab.benchmark.results import FlowQualityRow, FlowRow

AMOUNTS = replace(QUICK, flow_sizes=((36, 48),), rounds=2, slow_rounds=1)


def test_a_row_for_each_flow_and_size(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(flow, "UPDATES", 1)
    found: list[torch.Tensor] = []

    def clock(function, repeats):
        found.append(function())
        return 0.003

    rows = list(flow_times(BenchmarkPlan(amounts=AMOUNTS), lambda _: None, clock))
    assert [(row.flow, row.size) for row in rows] == [
        (spec, size) for size in AMOUNTS.flow_sizes for spec in (*DIS, "raft:large,updates=1")
    ]
    assert {row.ms for row in rows} == {3.0}
    assert {row.ratio for row in rows} == {1.0}
    assert {tuple(each.shape) for each in found} == {(1, 2, 36, 48)}


def scores(miou: float, tiou: float, tc: float, ms: float) -> Scores:
    return {"miou": miou, "tiou": {2: tiou}, "tc": tc, "frames": 101, "ms_per_frame": ms}


def test_lost_is_what_the_slowest_has_more():
    single, slow, fast = quality_rows(
        {"": scores(68, 42, 97.5, 50), "dis:medium": scores(70, 44, 98.5, 80), "dis:fast": scores(69.5, 44.25, 98, 70)},
        "a clip",
    )
    assert (single.flow, single.miou_loss, single.tiou_loss, single.tc_loss) == (None, None, None, None)
    assert (slow.miou_loss, slow.tiou_loss, slow.tc_loss) == (0, 0, 0)
    assert (fast.miou_loss, fast.tiou_loss, fast.tc_loss) == (0.5, -0.25, 0.5)
    assert (fast.data, fast.frames, fast.ms) == ("a clip", 101, 70)


def test_quality_on_labelled_clips(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(flow, "flow_times", lambda plan, tell: iter([FlowRow("dis", (1, 1), 1.0, 1.0)]))
    told: list[str] = []
    plan = BenchmarkPlan(amounts=AMOUNTS, data="streets:clips=1,frames=3,size=64x48", base="netwarp:streetnet")
    first, *rows = measure_flow(plan, told.append, here)
    assert isinstance(first, FlowRow)
    assert all(isinstance(row, FlowQualityRow) for row in rows)
    assert [row.flow for row in rows] == [None, *DIS]
    assert {row.frames for row in rows} == {3}
    assert all(0 <= row.miou <= 100 and 0 <= row.tc <= 100 and row.ms > 0 for row in rows)
    assert told[-1].endswith("frame 3 of 3")


def test_without_data_there_are_only_times(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(flow, "flow_times", lambda plan, tell: iter([FlowRow("dis", (1, 1), 1.0, 1.0)]))
    assert len(list(measure_flow(BenchmarkPlan(amounts=AMOUNTS), lambda _: None, here))) == 1
