"""Times of frames: those with a past count, as a first frame has none to bring along."""

from __future__ import annotations

import math

import pytest
import torch

from netwarp.evaluation.scores import Measures, Tally


def labels(side: int = 4) -> torch.Tensor:
    return torch.zeros((1, side, side), dtype=torch.int64)


def tally(*runs: list[float], sides: dict[float, int] | None = None) -> Tally:
    made = Tally(Measures(2, windows=()))
    for seconds in runs:
        made.start(len(seconds))
        for second in seconds:
            made.add(labels((sides or {}).get(second, 4)))
            made.time(second)
    return made


def test_first_frames_are_left_out():
    assert tally([100, 1, 2, 3]).scores().ms_per_frame == 2000
    assert tally([100, 1], [200, 3]).scores().ms_per_frame == 2000


def test_where_there_are_only_first_frames_they_count():
    assert tally([5], [7], [6]).scores().ms_per_frame == 6000
    assert math.isnan(tally().scores().ms_per_frame)


def test_a_frame_of_another_size_is_a_first_one():
    assert tally([100, 1, 50, 3], sides={50: 8, 3: 8}).scores().ms_per_frame == 2000


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_tallies_are_added(order):
    parts = [tally([100, 1], [50]), tally([200, 3])]
    total = parts[order[0]]
    total.merge(parts[order[1]])
    assert total.scores().ms_per_frame == 2000
    assert total.reduce().scores().ms_per_frame == 2000
