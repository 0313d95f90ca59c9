"""Places are chosen by counting: against a count by loops, and on cases that have one answer."""

import numpy as np
import pytest

from netwarp.lab.window_choice import choose_places

THIN = [1, 2]


def clip(seed: int, shape: tuple[int, int, int] = (7, 22, 31)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, shape).astype(np.uint8)


def by_loops(truth, first, second, window, frames, least) -> dict[tuple[int, ...], tuple[int, int]]:
    found = {}
    for c, wanted in enumerate(truth):
        for t in range(0, wanted.shape[0] - frames + 1, max(frames // 2, 1)):
            for y in range(0, wanted.shape[1] - window[0] + 1, window[0] // 2):
                for x in range(0, wanted.shape[2] - window[1] + 1, window[1] // 2):
                    area = np.s_[t : t + frames, y : y + window[0], x : x + window[1]]
                    holds = np.isin(wanted[area], THIN).mean() >= least
                    thin = np.isin([wanted[area], first[c][area], second[c][area]], THIN).any(0)
                    right = [(one[c][area] == wanted[area])[thin].sum() for one in (first, second)]
                    if holds:
                        found[c, t, y, x] = (int(right[1] - right[0]), int(thin.sum()))
    return found


@pytest.mark.parametrize("least", [0.0, 0.51])
def test_counts_equal_those_by_loops(least: float) -> None:
    truth, first, second = ([clip(seed + i) for i in range(2)] for seed in (0, 10, 20))
    choice = choose_places(truth, first, second, THIN, window=(8, 10), frames=3, least_share=least)
    expected = by_loops(truth, first, second, (8, 10), 3, least)
    gains = [gain for gain, _ in expected.values()]
    assert choice.better == sum(g > 0 for g in gains)
    assert choice.worse == sum(g < 0 for g in gains)
    assert choice.same == sum(g == 0 for g in gains)
    shown = [*choice.best, choice.typical, choice.worst]
    assert all(expected[p.clip, p.frame, p.top, p.left] == (p.gain, p.pixels) for p in shown)
    assert choice.best[0].gain == max(gains)
    assert choice.worst.gain == min(gains)


def test_the_best_are_apart() -> None:
    truth = [np.zeros((12, 40, 40), np.uint8)]
    truth[0][:, :, 18:21] = 1
    nothing = [np.zeros_like(truth[0])]
    choice = choose_places(truth, nothing, truth, THIN, window=(16, 16), frames=4, best=2)
    one, other = choice.best
    assert abs(one.frame - other.frame) >= 8 or abs(one.top - other.top) >= 16 or abs(one.left - other.left) >= 16
    assert choice.worst is None
    assert choice.worse == 0


def test_other_clips_come_first() -> None:
    truth = [np.ones((4, 32, 32), np.uint8) for _ in range(3)]
    first = [np.zeros_like(t) for t in truth]
    choice = choose_places(truth, first, truth, THIN, window=(8, 8), frames=4, best=3)
    assert [p.clip for p in choice.best] == [0, 1, 2]


def test_where_nothing_differs_nothing_is_shown() -> None:
    truth = [clip(1)]
    choice = choose_places(truth, truth, truth, THIN, window=(8, 10), frames=3)
    assert (choice.best, choice.typical, choice.worst, choice.better, choice.worse) == ((), None, None, 0, 0)
    assert choice.same > 0


def test_a_clip_that_is_too_short_has_no_windows() -> None:
    truth = [clip(1, (2, 22, 31))]
    choice = choose_places(truth, truth, [3 - t for t in truth], THIN, window=(8, 10), frames=3)
    assert choice.better + choice.worse + choice.same == 0
