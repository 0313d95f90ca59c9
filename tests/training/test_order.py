"""What comes when depends on numbers alone."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from netwarp.training.batches import LABELLED, UNLABELLED, clip_at, torch_seed, view_generator

COUNTS = st.integers(1, 40)
SEEDS = st.integers(0, 2**32)


@given(COUNTS, SEEDS, st.integers(0, 5))
def test_every_clip_comes_once_before_any_comes_again(count, seed, times):
    taken = [clip_at(times * count + place, count, seed) for place in range(count)]
    assert sorted(taken) == list(range(count))


@given(COUNTS, SEEDS, st.lists(st.integers(0, 10_000), min_size=1, max_size=30))
def test_what_was_asked_before_does_not_matter(count, seed, positions):
    forwards = [clip_at(p, count, seed) for p in positions]
    backwards = [clip_at(p, count, seed) for p in reversed(positions)]
    assert forwards == backwards[::-1]


def test_orders_differ_from_pass_to_pass_seed_to_seed_and_stream_to_stream():
    def order(times: int, seed: int, stream: int) -> tuple[int, ...]:
        return tuple(clip_at(times * 50 + place, 50, seed, stream) for place in range(50))

    orders = {order(t, seed, stream) for t in range(3) for seed in range(3) for stream in (LABELLED, UNLABELLED)}
    assert len(orders) == 18


def test_views_and_seeds_are_all_different_and_the_same_again():
    def views() -> list[float]:
        return [
            view_generator(position, seed, stream).random()
            for position in range(10)
            for seed in range(3)
            for stream in (LABELLED, UNLABELLED)
        ]

    assert views() == views()
    assert len(set(views())) == 60
    numbers = np.ndindex(4, 3, 2, 3)
    seeds = [torch_seed(*map(int, number)) for number in numbers]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
