"""Means, deviations, paired differences and the table, from known scores; and what leaving clips out tells."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from netwarp.lab.study.rows import BASE, Row
from netwarp.lab.study.store import UnitScores
from netwarp.lab.study.summary import (
    Spread,
    experiment_table,
    jackknife,
    relative_gain,
    scores_without_each_clip,
    summarise,
)
from netwarp.metrics import IoU, confusion_matrix


def scores(row: str, fold: int, seed: int, miou: float, tiou: float = 40.0, tc: float = 97.0) -> UnitScores:
    return UnitScores(
        row, fold, seed, miou, {"sky": miou}, {1: tiou - 5, 2: tiou}, tc, 3, (1.0, 0.5), 2, {"testing": 1.0}, {}
    )


ROWS = (Row(BASE), Row("Control", ("x",), control=True), Row("NetWarp", ("x",), against="Control"))
UNITS = [
    scores(BASE, 0, 0, 60.0), scores(BASE, 1, 0, 70.0, 50.0),
    scores("Control", 0, 0, 61.0), scores("Control", 1, 0, 71.0, 50.0),
    scores("Control", 0, 1, 60.5), scores("Control", 1, 1, 71.5, 50.0),
    scores("NetWarp", 0, 0, 62.0, 42.0, 98.0), scores("NetWarp", 1, 0, 73.0, 51.0, 98.5),
    scores("NetWarp", 0, 1, 61.5, 41.0, 98.0), scores("NetWarp", 1, 1, 73.5, 52.0, 98.5),
]  # fmt: skip
TIMES = {
    name: {"network_share": 100.0, "ms_per_frame": ms}
    for name, ms in ((BASE, 50.0), ("Control", 51.0), ("NetWarp", 60.0))
}


def test_differences_are_those_of_pairs_not_of_means():
    base, control, ours = summarise(ROWS, UNITS, TIMES)
    # Each unit is 1 or 2 better than its control, though the folds differ by 10.
    assert ours["minus_control"]["miou"] == Spread(1.5, pytest.approx(math.sqrt(1 / 3)), 4)
    assert ours["minus_control"]["tiou2"].mean == pytest.approx((2 + 1 + 1 + 2) / 4)
    assert ours["minus_control"]["tc"].mean == pytest.approx(1.25)
    assert ours["miou"].mean == pytest.approx(67.5)
    assert ours["miou"].deviation > 5
    # Rows without seeds are compared on their fold.
    assert ours["minus_frame_by_frame"]["miou"] == Spread(2.5, pytest.approx(math.sqrt(2.5 / 3)), 4)
    assert (control["minus_control"], base["minus_frame_by_frame"]) == ({}, {})


def test_the_table():
    head, _, base, control, ours = experiment_table(summarise(ROWS, UNITS, TIMES)).splitlines()
    assert [cell.strip() for cell in head.split("|")[1:-1]] == [
        "", "IoU", "tIoU, 2 px", "tc", "ms a frame", "IoU gained", "tIoU gained", "tc gained",
    ]  # fmt: skip
    assert base == "| Frame by frame | 65.00 ± 7.07 | 45.00 ± 7.07 | 97.00 ± 0.00 | 50.0 (1.00 ×) |  |  |  |"
    assert control.endswith("| 51.0 (1.02 ×) | +1.00 ± 0.41 | +0.00 ± 0.00 | +0.00 ± 0.00 |")
    assert ours.startswith("| NetWarp | 67.50 ± 6.65 |")
    assert ours.endswith("| 60.0 (1.20 ×) | +1.50 ± 0.58 | +1.50 ± 0.58 | +1.25 ± 0.29 |")


def test_an_interval_is_that_of_mean_differences_draw_by_draw():
    rng = np.random.default_rng(0)
    draws = {(name, fold): rng.normal(60, 5, 300) for name in (BASE, "Control", "NetWarp") for fold in (0, 1)}
    draws["NetWarp", 0] = draws["Control", 0] + 1.5  # the same blocks are better by as much, however they are drawn
    draws["NetWarp", 1] = draws["Control", 1] + rng.normal(0, 1, 300)
    units = [replace(unit, resampled={"miou": tuple(draws[unit.row, unit.fold])}) for unit in UNITS]
    *_, ours = summarise(ROWS, units, TIMES)
    apart = (1.5 + draws["NetWarp", 1] - draws["Control", 1]) / 2
    assert ours["minus_control"]["miou"].interval == pytest.approx(np.percentile(apart, (2.5, 97.5)))
    assert ours["minus_control"]["tc"].interval is None
    low, high = ours["minus_control"]["miou"].interval
    assert f"+1.50 ± 0.58 [−{-low:.2f}, +{high:.2f}]" in experiment_table([ours])


def test_a_loss_has_a_minus_one_unit_no_deviation_and_what_was_not_measured_a_dash():
    found = [scores(BASE, 0, 0, math.nan), scores("Control", 0, 0, 61.0), scores("NetWarp", 0, 0, 60.75)]
    _, _, base, _, ours = experiment_table(summarise(ROWS, found, TIMES)).splitlines()
    assert ours.endswith("| −0.25 | +0.00 | +0.00 |")
    assert base.startswith("| Frame by frame | – | 40.00 |")
    assert Spread.of([math.nan, 70.0]) == Spread(70.0, pytest.approx(math.nan, nan_ok=True), 1)


def test_relative_gain_is_taken_pair_by_pair():
    ours, base = ([unit for unit in UNITS if unit.row == name] for name in ("NetWarp", BASE))
    gain = relative_gain(ours, base)
    assert list(gain) == [1, 2]
    assert gain[2].mean == pytest.approx(100 * (2 / 40 + 1 / 50 + 1 / 40 + 2 / 50) / 4)
    assert relative_gain([], base) == {}


def test_each_clip_is_left_out_in_turn():
    rng = np.random.default_rng(0)
    pairs = {clip: (rng.integers(0, 4, (1, 6, 8)), rng.integers(0, 3, (1, 6, 8))) for clip in "abc"}
    confusions = {clip: confusion_matrix(*map(torch.from_numpy, pair), 11) for clip, pair in pairs.items()}
    found = scores_without_each_clip(confusions)
    assert set(found) == {"a", "b", "c"}
    for clip, score in found.items():
        iou = IoU(11)
        for name, (said, truth) in pairs.items():
            if name != clip:
                iou.update(said, truth)
        assert score == pytest.approx(iou.compute())
    assert scores_without_each_clip({"a": confusions["a"]}) == {}


def test_for_a_mean_the_jackknife_is_its_standard_error():
    values = np.array([1.0, 4.0, 2.0, 7.0, 3.0])
    without = {str(i): float(np.delete(values, i).mean()) for i in range(len(values))}
    nothing = dict.fromkeys(without, 0.0)
    assert jackknife(without, nothing) == pytest.approx(values.std(ddof=1) / math.sqrt(len(values)))
    assert jackknife(without, without) == 0.0
    assert math.isnan(jackknife({}, {}))
