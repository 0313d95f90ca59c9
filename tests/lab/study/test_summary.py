"""Means, deviations, paired differences and the table, from known figures."""

from __future__ import annotations

import math

import pytest

from netwarp.lab.study.report import experiment_table
from netwarp.lab.study.rows import BASE, Row
from netwarp.lab.study.store import UnitScores
from netwarp.lab.study.summary import Spread, relative_gain, summarise


def figures(row: str, fold: int, seed: int, miou: float, tiou: float = 40.0, tc: float = 97.0) -> UnitScores:
    return UnitScores(
        row, fold, seed, miou, {"sky": miou}, {1: tiou - 5, 2: tiou}, tc, 3, (1.0, 0.5), 2, {"testing": 1.0}, {}
    )


ROWS = (Row(BASE), Row("Control", ("x",), control=True), Row("NetWarp", ("x",), against="Control"))
FIGURES = [
    figures(BASE, 0, 0, 60.0), figures(BASE, 1, 0, 70.0, 50.0),
    figures("Control", 0, 0, 61.0), figures("Control", 1, 0, 71.0, 50.0),
    figures("Control", 0, 1, 60.5), figures("Control", 1, 1, 71.5, 50.0),
    figures("NetWarp", 0, 0, 62.0, 42.0, 98.0), figures("NetWarp", 1, 0, 73.0, 51.0, 98.5),
    figures("NetWarp", 0, 1, 61.5, 41.0, 98.0), figures("NetWarp", 1, 1, 73.5, 52.0, 98.5),
]  # fmt: skip


def test_differences_are_those_of_pairs_not_of_means():
    _, control, ours = summarise(ROWS, FIGURES)
    # Each unit is 1 or 2 better than its control, though the folds differ by 10.
    assert ours.to_control["miou"] == Spread(1.5, pytest.approx(math.sqrt(1 / 3)), 4)
    assert ours.to_control["tiou2"].mean == pytest.approx((2 + 1 + 1 + 2) / 4)
    assert ours.to_control["tc"].mean == pytest.approx(1.25)
    assert ours.scores["miou"].mean == pytest.approx(67.5)
    assert ours.scores["miou"].deviation > 5
    assert control.to_control == {}


def test_rows_without_seeds_are_compared_on_their_fold():
    base, _, ours = summarise(ROWS, FIGURES)
    assert ours.to_base["miou"] == Spread(2.5, pytest.approx(math.sqrt((0.25 + 0.25 + 1 + 1) / 3)), 4)
    assert base.to_base == {}


def test_the_table():
    text = experiment_table(summarise(ROWS, FIGURES, {BASE: 50.0, "NetWarp": 60.0}))
    head, _, base, control, ours = text.splitlines()
    assert [cell.strip() for cell in head.split("|")[1:-1]] == [
        "", "IoU", "tIoU, 2 px", "tc", "ms a frame", "IoU − control", "tIoU − control", "tc − control",
    ]  # fmt: skip
    assert base == "| Frame by frame | 65.00 ± 7.07 | 45.00 ± 7.07 | 97.00 ± 0.00 | 50.0 (1.00 ×) |  |  |  |"
    assert "| – |" in control  # no time was taken
    assert ours.startswith("| NetWarp | 67.50 ± 6.65 |")
    assert ours.endswith("| 60.0 (1.20 ×) | +1.50 ± 0.58 | +1.50 ± 0.58 | +1.25 ± 0.29 |")


def test_a_loss_has_a_minus_and_one_unit_no_deviation():
    found = [figures(BASE, 0, 0, 60.0), figures("Control", 0, 0, 61.0), figures("NetWarp", 0, 0, 60.75)]
    assert "| −0.25 | +0.00 | +0.00 |" in experiment_table(summarise(ROWS, found))


def test_what_was_not_measured_is_a_dash():
    found = [figures(BASE, 0, 0, math.nan), *FIGURES[1:2]]
    assert (
        experiment_table(summarise(ROWS[:1], found[:1])).splitlines()[-1].startswith("| Frame by frame | – | 40.00 |")
    )
    # nan counts nowhere
    assert summarise(ROWS[:1], found)[0].scores["miou"] == Spread(70.0, pytest.approx(math.nan, nan_ok=True), 1)


def test_relative_gain_is_taken_pair_by_pair():
    ours = [f for f in FIGURES if f.row == "NetWarp"]
    base = [f for f in FIGURES if f.row == BASE]
    gain = relative_gain(ours, base)
    assert list(gain) == [1, 2]
    assert gain[2].mean == pytest.approx(100 * (2 / 40 + 1 / 50 + 1 / 40 + 2 / 50) / 4)
    assert relative_gain([], base) == {}
