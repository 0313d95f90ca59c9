import copy
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import netwarp.metrics
from metrics.feeding import MAKE, OF_OTHER_MAPS, feed, reduced_in_process
from netwarp.errors import ConfigurationError, InputError
from netwarp.metrics import (
    InstanceIoU,
    IoU,
    Metric,
    TemporalConsistency,
    TrimapCurve,
    TrimapIoU,
    VideoConsistency,
    WarpedIoU,
)
from netwarp.metrics.metric import ONE, share

every_metric = pytest.mark.parametrize("name", MAKE)


def counted(metric):
    """All that a metric has counted, as bytes."""
    return {name: getattr(metric, name).numpy().tobytes() for name in metric._shapes}


def fed(name, seeds):
    metric = MAKE[name]()
    for seed in seeds:
        feed(metric, seed)
    return metric


def scores(metric):
    result = metric.compute()
    return list(result.values()) if isinstance(result, dict) else [result]


def test_the_list_here_is_complete():
    classes = {value for value in vars(netwarp.metrics).values() if isinstance(value, type)}
    assert {type(make()) for make in MAKE.values()} == classes - {Metric}


@every_metric
@settings(max_examples=8)
@given(order=st.permutations(range(6)), cut=st.integers(0, 6))
def test_any_order_and_any_split_give_the_same_counts_to_the_last_bit(name, order, cut):
    whole, first, second = fed(name, range(6)), fed(name, order[:cut]), fed(name, order[cut:])
    untouched = counted(second)
    first.merge(second)
    assert counted(first) == counted(whole)
    assert scores(first) == scores(whole)
    assert counted(second) == untouched
    assert all(getattr(first, state).dtype == torch.int64 for state in first._shapes)


@every_metric
def test_a_batch_is_its_frames(name):
    at_once, singly = MAKE[name](), MAKE[name]()
    feed(at_once, 0)
    feed(singly, 0, singly=True)
    assert counted(at_once) == counted(singly)


@pytest.mark.parametrize("name", [name for name in MAKE if name not in OF_OTHER_MAPS])
@pytest.mark.parametrize(
    ("prediction", "target", "value"),
    [
        (np.zeros((2, 3), int), np.zeros((3, 2), int), r"\[\d, 2, 3\]"),
        (np.zeros((2, 3), int), np.zeros((1, 2, 4), int), r"\[\d, 2, 3\]"),
        (np.zeros((1, 1, 2, 3), int), np.zeros((1, 1, 2, 3), int), r"\[.*H,W\]"),
        (np.zeros((2, 3), np.float32), np.zeros((2, 3), int), "float32"),
        (np.zeros((2, 3), int), torch.zeros(2, 3, dtype=torch.bool), "bool"),
        (np.zeros((2, 3), object), np.zeros((2, 3), int), "object"),
        ([[0] * 3] * 2, np.zeros((2, 3), int), "list"),
    ],
)
def test_what_is_no_pair_of_label_maps_is_refused_and_changes_nothing(name, prediction, target, value):
    metric = MAKE[name]()
    more = {InstanceIoU: np.zeros((2, 3), int), TemporalConsistency: torch.zeros(1, 2, 2, 3)}
    more[WarpedIoU] = more[TemporalConsistency]
    with pytest.raises(InputError, match=value):
        metric.update(prediction, target, *(more[kind] for kind in more if isinstance(metric, kind)))
    assert counted(metric) == counted(MAKE[name]())


@pytest.mark.parametrize("name", OF_OTHER_MAPS)
@pytest.mark.parametrize(
    ("shape", "value"), [((1, 4, 2, 2), r"2, 2\]"), ((1, 3, 2, 3), r"3, 2, 3\]"), ((2, 3), r"2, 3\]"), (None, "list")]
)
def test_other_maps_that_do_not_fit_are_refused_and_change_nothing(name, shape, value):
    metric = MAKE[name]()
    wrong = [[0]] if shape is None else torch.zeros(shape, dtype=torch.int32)
    right = torch.zeros(1, 4, 2, 3, dtype=torch.int32)
    flow, trust = torch.zeros(1, 2, 2, 3), torch.ones(1, 1, 2, 3)
    more = {"LabelIoU": [right[:, 0]], "LabelConsistency": [right, flow], "WarpingError": [right, flow, trust]}
    with pytest.raises(InputError, match=value):
        metric.update(wrong, *more[name])
    assert counted(metric) == counted(MAKE[name]())


@every_metric
def test_nothing_counted_is_nan_and_reset_forgets(name):
    metric = MAKE[name]()
    assert all(math.isnan(score) for score in scores(metric))
    feed(metric, 0)
    assert not any(math.isnan(score) for score in scores(metric))
    metric.reset()
    assert all(math.isnan(score) for score in scores(metric))
    assert counted(metric) == counted(MAKE[name]())


@every_metric
def test_a_pickled_metric_goes_on_where_it_was(name):
    metric = fed(name, range(3))
    loaded = pickle.loads(pickle.dumps(metric))
    for each in (metric, loaded):
        feed(each, 3)
    assert counted(loaded) == counted(metric)
    loaded.merge(metric)  # and its settings are still equal


@every_metric
def test_reduce_of_a_single_process_is_a_copy(name):
    metric = fed(name, range(2))
    before = counted(metric)
    copied = metric.reduce()
    assert counted(copied) == before
    feed(copied, 2)
    assert counted(metric) == before


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (IoU(3), IoU(4)),
        (IoU(3), TrimapIoU(3)),
        (TrimapIoU(3, 1), TrimapIoU(3, 2)),
        (TrimapCurve(3, (1, 2)), TrimapCurve(3, (1, 3))),
        (InstanceIoU(3), InstanceIoU(3, {1: 5.0})),
        (InstanceIoU(3, {1: 5.0}), InstanceIoU(3, {1: 6.0})),
        (VideoConsistency(8), VideoConsistency(16)),
        (TemporalConsistency(), VideoConsistency(8)),
    ],
)
def test_what_measures_something_else_is_not_merged(one, other):
    before = counted(one)
    with pytest.raises(ConfigurationError, match=type(other).__name__):
        one.merge(other)
    assert counted(one) == before


@given(st.integers(1, 2**27), st.data())
def test_a_share_is_rounded_to_the_nearest(whole, data):
    part = data.draw(st.integers(0, whole))
    assert abs(share(part, whole) * whole - part * ONE) * 2 <= whole


def test_two_processes_count_what_one_would(tmp_path):
    """Over gloo: reduced, reduced again, and reduced after going on; each process with the same result."""
    seeds = [[0, 1], [2, 3, 4]]
    # Forked, not spawned: importing torch twice more takes ten seconds.
    torch.multiprocessing.start_processes(
        reduced_in_process, (str(tmp_path / "meeting"), str(tmp_path), seeds), nprocs=2, start_method="fork"
    )
    results = [torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in (0, 1)]
    for name in MAKE:
        for rank, result in enumerate(results):
            once, twice, later, own = result[name]
            assert counted(once) == counted(twice) == counted(fed(name, [0, 2]))
            assert counted(later) == counted(fed(name, range(5)))
            assert np.array_equal(scores(later), scores(fed(name, range(5))))
            assert counted(own) == counted(fed(name, seeds[rank]))


def test_frames_are_not_counted_in_a_copy_made_before():
    metric = IoU(2)
    before = copy.copy(metric)
    metric.update(np.zeros((1, 1), int), np.zeros((1, 1), int))
    assert before.matrix.sum() == 0
