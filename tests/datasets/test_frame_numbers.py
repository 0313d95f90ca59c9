"""Numbers in names, and runs of them."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from netwarp.datasets.frame_numbers import frame_number, runs


@given(st.text("ab_0", max_size=4), st.integers(0, 10**6), st.integers(1, 7), st.text("xy_", max_size=3))
def test_names_are_put_together_as_they_were_taken_apart(before: str, number: int, digits: int, after: str):
    name = f"{before}_{number:0{digits}d}{after}"
    taken = frame_number(name)
    assert taken.number == number
    assert taken.name(taken.number) == name
    assert frame_number(taken.name(taken.number + 1)).number == number + 1


def test_names_without_a_number():
    assert frame_number("first") is None
    assert frame_number("") is None


@given(st.sets(st.integers(-50, 50)), st.integers(1, 5))
def test_runs_are_all_numbers_in_order_cut_at_gaps_only(numbers: set[int], gap: int):
    found = runs(numbers, gap)
    assert [n for run in found for n in run] == sorted(numbers)
    for run in found:
        assert all(b - a <= gap for a, b in pairwise(run))
    for one, other in pairwise(found):
        assert other[0] - one[-1] > gap
