"""Windows and samples of clips, numbers in frames' names, and runs of them."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwarp.datasets.clips import Clip, ClipData, ClipFrame
from netwarp.datasets.frame_numbers import frame_number, runs
from netwarp.errors import ConfigurationError
from netwarp.label_sets import CAMVID


def data_of(lengths: list[int], every: int = 2) -> ClipData:
    def image() -> np.ndarray:
        return np.zeros((2, 2, 3), np.uint8)

    clips = [
        Clip(f"{c}", [ClipFrame(f"{c}/{f}", image, image if f % every == 0 else None) for f in range(length)])
        for c, length in enumerate(lengths)
    ]
    return ClipData("made", CAMVID, tuple(clips))


@given(st.lists(st.integers(0, 6), max_size=4), st.integers(1, 5))
def test_windows_are_all_runs_of_their_length(lengths, length):
    windows = data_of(lengths).windows(length)
    names = [[frame.name for frame in window.frames] for window in windows]
    assert names == [
        [f"{c}/{first + i}" for i in range(length)]
        for c, count in enumerate(lengths)
        for first in range(count)
        if first + length <= count
    ]


def test_samples_are_the_windows_that_end_with_a_label():
    data = data_of([5, 3])
    ending = [window.name for window in data.windows(2) if window.frames[-1].labels is not None]
    assert ending == [sample.name for sample in data.samples(2)]


def test_a_window_of_no_frame_is_refused():
    with pytest.raises(ConfigurationError, match="a window needs at least 1 frame, not 0"):
        data_of([3]).windows(0)


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
    found = runs(sorted(numbers), lambda one, other: other - one <= gap)
    assert [n for run in found for n in run] == sorted(numbers)
    for run in found:
        assert all(b - a <= gap for a, b in pairwise(run))
    for one, other in pairwise(found):
        assert other[0] - one[-1] > gap
