"""From units to numbers, Markdown and CSV."""

from __future__ import annotations

import csv
import io
import math
import statistics
from dataclasses import replace

import pytest

from netwarp.lab.paper.lines import Line
from netwarp.lab.paper.published import Published
from netwarp.lab.paper.tables import markdown_text, paper_gain, results_of, seed_error, table_of
from netwarp.lab.study.rows import BASE, Row
from netwarp.lab.study.store import UnitScores

LINES = [
    Line("network", "base", Row(BASE), Published(60.0, 30.0)),
    Line("control", "control", Row("Control", ("x",), control=True), None, BASE),
    Line("good", "netwarp", Row("Good", ("x",)), Published(61.0, 32.0, runtime="5 ms"), BASE),
    Line("bad", "netwarp", Row("Bad", ("y",)), None, BASE),
    Line("other", "other", None, Published(60.5)),
]


def figures(row: str, seed: int, iou: float) -> UnitScores:
    tiou = dict.fromkeys(range(1, 21), iou / 2)
    return UnitScores(row, 0, seed, iou, {}, tiou, 97.0, 3, (1.0, 1.0), 1, {}, {})


MEASURED = {"Control": (50.5, 51.5), "Good": (53.0, 54.0), "Bad": (46.0, 48.0)}
FIGURES = [figures(BASE, 0, 50.0), *(figures(row, s, v) for row, pair in MEASURED.items() for s, v in enumerate(pair))]
RESULTS = results_of(LINES, FIGURES, {BASE: 10.0, "Good": 12.0})
ONE_SEED = results_of(LINES, [f for f in FIGURES if f.seed == 0])


def result(name: str):
    return next(each for each in RESULTS if each.line.name == name)


def test_differences_are_taken_to_the_base_and_seed_by_seed_to_the_control():
    assert result("good").scores["IoU"].mean == 53.5
    assert result("good").to_base["IoU"].mean == 3.5
    assert result("good").to_control["IoU"].mean == 2.5
    assert result("good").to_control["IoU"].deviation == pytest.approx(0.0)
    assert result("good").slowdown == pytest.approx(1.2)
    assert math.isnan(result("bad").milliseconds)
    assert result("network").to_base == result("other").scores == {}
    assert not result("control").to_control


def test_the_error_over_seeds_is_pooled_over_lines():
    variances = [statistics.variance(pair) for pair in MEASURED.values()]
    assert seed_error(RESULTS) == pytest.approx(math.sqrt(statistics.fmean(variances) / 2))
    assert math.isnan(seed_error(ONE_SEED))


def test_noise_is_of_seeds_and_of_clips():
    """Without clip a the difference is 5, without b it is 1: half of what lies between is the jackknife's error."""
    seeds = seed_error(RESULTS)
    assert result("good").noise == pytest.approx(2 * seeds)  # nobody knows about clips
    clips = [
        replace(
            f,
            left_out={"a": f.miou + (1.5 if f.row == "Good" else 0.0), "b": f.miou - (2.5 if f.row == "Good" else 0.0)},
        )
        for f in FIGURES
    ]
    good = next(each for each in results_of(LINES, clips) if each.line.name == "good")
    assert good.noise == pytest.approx(2 * math.hypot(seeds, 2.0))
    assert good.control_noise == pytest.approx(2 * math.hypot(math.sqrt(2) * seeds, 2.0))
    only_clips = results_of(LINES, [f for f in clips if f.seed == 0])
    assert next(each for each in only_clips if each.line.name == "good").noise == pytest.approx(4.0)


def test_the_papers_gains():
    assert paper_gain(RESULTS, result("good")) == {"IoU": 1.0, "tIoU": 2.0}
    assert paper_gain(RESULTS, result("bad")) == paper_gain(RESULTS, result("other")) == {}


def test_markdown_has_the_papers_numbers_beside_ours_and_no_empty_columns():
    head, rule, *rows = markdown_text(table_of(RESULTS)).splitlines()
    names = [cell.strip() for cell in head.strip("|").split("|")]
    cells = {row.split("|")[1].strip(): [c.strip() for c in row.strip("|").split("|")] for row in rows}
    good = dict(zip(names, cells["good"], strict=True))
    assert good["IoU"] == "53.50 ± 0.71"
    assert good["IoU − base"] == "+3.50"
    assert good["IoU − control"] == "+2.50"
    assert good["ms a frame"] == "12.0 (1.200 ×)"
    assert (good["paper: IoU"], good["paper: runtime"], good["paper: IoU − base"]) == ("61.0", "5 ms", "+1.0")
    assert "iIoU" not in names
    assert dict(zip(names, cells["other"], strict=True))["paper: IoU"] == "60.5"
    assert rule.count("---") == len(names)


def test_csv_has_every_number():
    rows = {row["line"]: row for row in csv.DictReader(io.StringIO(table_of(RESULTS).to_csv(index=False)))}
    assert set(rows) == {line.name for line in LINES}
    assert float(rows["good"]["iou"]) == 53.5
    assert float(rows["good"]["tiou_minus_base"]) == 1.75
    assert float(rows["bad"]["iou_minus_control"]) == -4.0
    assert rows["good"]["seeds"] == "2"
    assert rows["good"]["paper_runtime"] == "5 ms"
    assert rows["other"]["iou"] == rows["bad"]["paper_iou"] == ""
