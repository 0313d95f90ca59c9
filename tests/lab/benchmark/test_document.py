"""The JSON: what docs/speed.md says is in it is in it, as numbers that any program reads."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from pathlib import Path

import pytest

from lab.benchmark.made_rows import WARP, measured
from netwarp.lab.benchmark import results as rows
from netwarp.lab.benchmark.plan import BenchmarkPlan
from netwarp.lab.benchmark.results import FORMAT, document, heading
from netwarp.lab.benchmark.run import PARTS
from netwarp.lab.machine import machine, machine_line

SPEED = Path(__file__).parents[3] / "docs" / "speed.md"
KINDS = list(rows.Row.__args__)


def test_all_parts_as_json():
    written = json.loads(json.dumps(document(measured()), allow_nan=False))
    assert list(written) == ["format", "quick", "machine", "settings", "parts"]
    assert written["format"] == FORMAT
    assert written["quick"] is False
    assert list(written["parts"]) == list(PARTS)
    assert {part: sorted(its) for part, its in written["parts"].items()} == {
        "warp": ["rows", "seconds"],
        "stream": ["rows", "seconds"],
        "streams": ["rows", "seconds"],
        "memory": ["by_length", "by_streams", "seconds", "slopes"],
        "flow": ["quality", "rows", "seconds"],
    }
    row = written["parts"]["warp"]["rows"][0]
    assert row["shape"] == [1, 1024, 128, 128]
    assert row["eager_over_ours"] == 7.25
    assert row["not_compiled"] is None
    assert written["parts"]["stream"]["rows"][0]["flow"] is None


def test_rows_have_every_field_of_their_kind():
    written = document(measured())
    for kind in KINDS:
        for row in written["parts"][kind.part][kind.table]:
            assert set(row) == {field.name for field in fields(kind)}


def test_numbers_are_short_and_finite():
    parts = measured("warp")
    parts.rows["warp"] = [replace(WARP, add_ms=1.23456789, clone_ms=math.nan, ours_ms=math.inf)]
    (row,) = document(parts)["parts"]["warp"]["rows"]
    assert (row["add_ms"], row["clone_ms"], row["ours_ms"]) == (1.23457, None, None)


def test_a_part_that_was_cut_off_has_no_time():
    parts = measured("flow")
    parts.seconds.clear()
    assert document(parts)["parts"]["flow"]["seconds"] is None


def test_a_quick_run_says_so():
    quick = measured("warp", plan=BenchmarkPlan(quick=True, runs=2, cpu_time=True))
    assert document(quick)["quick"] is True
    assert heading(quick).startswith("# netwarp benchmark (quick run: the figures mean nothing)\n")
    assert "CPU time" in heading(quick)
    assert "2 runs" in heading(quick)
    assert "quick" not in heading(measured("warp"))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_docs_name_every_field(kind: type):
    text = SPEED.read_text(encoding="utf-8")
    assert f"`{kind.part}.{kind.table}`" in text
    for field in fields(kind):
        assert f"`{field.name}`" in text, f"docs/speed.md does not say what {field.name} is"


def test_the_machine_is_described_and_not_named():
    import platform

    import torch

    facts = machine("cpu", 3)
    assert facts["threads"] == 3
    assert facts["gpu"] is facts["cuda"] is None
    assert facts["torch"] == torch.__version__
    assert facts["cpu"]
    assert facts["cores"] >= 1
    assert platform.node() not in json.dumps(facts) or len(platform.node()) < 4
    assert machine("cpu")["threads"] == torch.get_num_threads()
    line = machine_line(facts)
    assert line.startswith(f"{facts['cpu']}, ")
    assert f"torch {torch.__version__}" in line
    assert "None" not in line
