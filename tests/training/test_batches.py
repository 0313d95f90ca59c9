"""The data of a step: a function of its number, whoever asks, and errors that come when they are due."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netwarp.datasets.augment_settings import Augmentation
from netwarp.datasets.samples import SampleReader
from netwarp.training import Consistency, TrainSettings, batches
from netwarp.training.batches import LABELLED, UNLABELLED, WorkData, clip_at, torch_seed, view_generator, work_loader
from training.toy import CLASSES, clips, with_labels

VIEWS = Augmentation(flip=0.5, scale=(0.7, 1.5), crop=(16, 20), brightness=0.3)


def data_of(rank: int = 0, samples=None, length: int = 2, **settings) -> WorkData:
    data = clips(length=max(length, 3))
    samples = data.samples(length) if samples is None else samples
    settings = TrainSettings(**{"steps": 6, "batch_size": 2, "augment": VIEWS} | settings)
    readers = [SampleReader(s, "dis" if length > 1 else None) for s in (samples, data.windows(length))]
    return WorkData(*readers, settings, CLASSES, rank)


def same(first, second) -> bool:
    parts = list(zip(first.parts, second.parts, strict=True))
    return first.names == second.names and all(
        torch.equal(a.labelled.frames, b.labelled.frames)
        and torch.equal(a.labelled.labels, b.labelled.labels)
        and torch.equal(a.labelled.flows, b.labelled.flows)
        for a, b in parts
    )


def test_a_step_is_the_same_whenever_it_is_asked_for():
    forwards, backwards = data_of(), data_of()
    there = [forwards[step] for step in range(6)]
    back = [backwards[step] for step in reversed(range(6))][::-1]
    assert all(same(a, b) for a, b in zip(there, back, strict=True))
    assert not any(same(a, b) for a, b in itertools.pairwise(there))
    assert not same(there[0], data_of(seed=1)[0])


@pytest.mark.parametrize("cut", [{"devices": 2}, {"accumulate": 2}])
def test_batches_that_are_cut_into_pieces_hold_the_same(cut):
    whole = data_of(batch_size=4)
    for step in range(3):
        ranks = range(cut.get("devices", 1))
        pieces = [part for rank in ranks for part in data_of(rank, **cut)[step].parts]
        expected = whole[step].parts[0].labelled
        assert len(pieces) == 2
        assert torch.equal(torch.cat([p.labelled.frames for p in pieces]), expected.frames)
        assert torch.equal(torch.cat([p.labelled.labels for p in pieces]), expected.labels)


def test_devices_and_batches_together_take_every_clip_once():
    names = [
        name for step in range(1) for rank in range(2) for name in data_of(rank, devices=2, accumulate=2)[step].names
    ]
    assert sorted(names) == sorted(s.name for s in clips().samples(2))


def test_clips_without_labels_come_beside():
    part = data_of(consistency=Consistency(1.0, unlabelled=3))[0].parts[0]
    assert len(part.unlabelled.names) == 3
    assert part.unlabelled.labels is None
    assert part.unlabelled.flows.shape == (3, 1, 2, 16, 20)
    assert data_of()[0].parts[0].unlabelled is None


@pytest.mark.parametrize(
    ("label", "said"),
    [(CLASSES, "has label 3, but there are 3 classes (0 to 2, and 255 = ignore)"), (254, "label 254")],
)
def test_labels_outside_the_classes_are_named_with_their_frame(label, said):
    def spoil(labels, name):
        labels[5, 5] = label if name == "clip2/1" else labels[5, 5]
        return labels

    data = data_of(samples=with_labels(clips().samples(2), spoil), augment=Augmentation())
    errors = {str(data[step].error) for step in range(6) if data[step].error}
    assert len(errors) == 1
    assert said in errors.pop()


def test_ignored_pixels_are_no_labels_outside_the_classes():
    samples = with_labels(clips().samples(2), lambda labels, name: np.full_like(labels, 255))
    assert data_of(samples=samples)[0].error is None


@pytest.mark.parametrize(("workers", "room"), [(0, math.inf), (2, math.inf), (2, 0)])
def test_a_loader_begins_where_it_is_told_and_draws_nothing(workers, room, monkeypatch):
    """Also where no memory can be shared, as in a container with little of it."""
    monkeypatch.setattr(batches, "_room", lambda: room)
    data = data_of(workers=workers)
    state = torch.get_rng_state()
    loaded = list(work_loader(data, range(2, 6), torch.device("cpu")))
    assert torch.equal(torch.get_rng_state(), state)
    assert [work.step for work in loaded] == [2, 3, 4, 5]
    assert all(same(work, data[work.step]) for work in loaded)


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
