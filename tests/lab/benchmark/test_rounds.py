"""Medians, ratios and turns, with a clock that is wound by hand."""

import time

import pytest

from netwarp.lab.benchmark.rounds import MOST, WORTH, Rounds, alternating, clock_for


def test_medians_of_rounds_and_of_their_ratios():
    rounds = Rounds({"a": [0.002, 0.004, 0.030], "b": [0.001, 0.001, 0.010]})
    assert rounds.ms("a") == pytest.approx(4)
    assert rounds.ratio("a", "b") == pytest.approx(3)  # 2, 4, 3: not 4 ms / 1 ms
    assert rounds.ratio("a", "b", 2) == pytest.approx(6)
    assert rounds.ms("c") is rounds.ratio("a", "c") is rounds.ratio("c", "a") is None


def test_functions_take_turns_and_the_first_two_runs_do_not_count():
    calls: list[tuple[str, int]] = []
    costs = {"slow": iter([9.0, 9.0, 3.0, 1.0, 2.0]), "quick": iter([9.0, WORTH / 10.5, 1.0, 1.0, 1.0])}

    def clock(function, repeats):
        name = function()
        calls.append((name, repeats))
        return next(costs[name])

    rounds = alternating({"slow": lambda: "slow", "quick": lambda: "quick"}, 3, clock)
    assert calls == [
        ("slow", 1), ("slow", 1), ("quick", 1), ("quick", 1),
        ("slow", 1), ("quick", 10), ("quick", 10), ("slow", 1), ("slow", 1), ("quick", 10),
    ]  # fmt: skip
    assert rounds.ms("slow") == 2000
    assert rounds.ms("quick") == 1000


def test_what_takes_no_time_is_repeated_but_not_for_ever():
    repeats: list[int] = []

    def clock(function, count):
        repeats.append(count)
        return 0.0

    alternating({"nothing": lambda: None}, 1, clock)
    assert repeats == [1, 1, MOST]


def test_the_clock_of_a_cpu_runs_as_often_as_told_and_gives_one_runs_time():
    ran: list[None] = []
    seconds = clock_for("cpu")(lambda: (ran.append(None), time.sleep(0.002)), 5)
    assert len(ran) == 5
    assert seconds >= 0.002


def test_cpu_time_does_not_count_waiting():
    assert clock_for("cpu", cpu_time=True)(lambda: time.sleep(0.05), 1) < 0.05
