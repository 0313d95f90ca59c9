"""Times of flow, and what is lost with a faster one."""

from dataclasses import replace

import pytest
import torch

from lab.benchmark.generators import here
from netwarp.evaluation.scores import Scores
from netwarp.lab.benchmark import flow, plan
from netwarp.lab.benchmark.flow import DIS, flow_times, measure_flow, quality_rows
from netwarp.lab.benchmark.plan import QUICK, Request

REQUEST = Request(parts=[], device="cpu", quick=True)


def test_a_row_for_each_flow_and_size(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(flow, "UPDATES", 1)
    monkeypatch.setattr(plan, "QUICK", replace(QUICK, flow_sizes=((36, 48),), rounds=2, slow_rounds=1))
    found: list[torch.Tensor] = []

    def clock(function, repeats):
        found.append(function())
        return 0.003

    rows = [row for _, row in flow_times(REQUEST, lambda _: None, clock)]
    assert [(row["flow"], row["size"]) for row in rows] == [(spec, (36, 48)) for spec in (*DIS, "raft:large,updates=1")]
    assert {row["ms"] for row in rows} == {3.0}
    assert {row["ratio"] for row in rows} == {1.0}
    assert {tuple(each.shape) for each in found} == {(1, 2, 36, 48)}


def scores(miou: float, tiou: float, tc: float, ms: float) -> Scores:
    return {"miou": miou, "tiou": {2: tiou}, "tc": tc, "frames": 101, "ms_per_frame": ms}


def test_lost_is_what_the_slowest_has_more():
    found = quality_rows(
        {"": scores(68, 42, 97.5, 50), "dis:medium": scores(70, 44, 98.5, 80), "dis:fast": scores(69.5, 44.25, 98, 70)},
        "a clip",
    )
    rows = [row for _, row in found]
    assert [[row[f"{name}_loss"] for name in ("miou", "tiou", "tc")] for row in rows] == [
        [None, None, None], [0, 0, 0], [0.5, -0.25, 0.5],
    ]  # fmt: skip
    assert [row["flow"] for row in rows] == [None, "dis:medium", "dis:fast"]
    assert [rows[2][name] for name in ("data", "frames", "ms", "tiou")] == ["a clip", 101, 70, 44.25]


def test_quality_on_labelled_clips(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(flow, "flow_times", lambda request, tell: iter([("rows", {})]))
    assert list(measure_flow(REQUEST, lambda _: None, here)) == [("rows", {})]
    told: list[str] = []
    request = replace(REQUEST, data="streets:clips=1,frames=3,size=64x48", base="netwarp:streetnet")
    found = list(measure_flow(request, print, lambda function, *arguments: function(*arguments, told.append)))
    assert [table for table, _ in found] == ["rows"] + ["quality"] * (1 + len(DIS))
    rows = [row for table, row in found if table == "quality"]
    assert [row["flow"] for row in rows] == [None, *DIS]
    assert {row["frames"] for row in rows} == {3}
    assert all(0 <= row["miou"] <= 100 and 0 <= row["tc"] <= 100 and row["ms"] > 0 for row in rows)
    assert told[-1].endswith("frame 3 of 3")
