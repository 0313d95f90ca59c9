"""Halves: no labelled frame in both, every pair in one, and what a stream starts with."""

import itertools
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwarp.datasets.clips import Clip, ClipData, ClipFrame
from netwarp.errors import ConfigurationError
from netwarp.lab.study.folds import one_fold, two_folds
from netwarp.label_sets import CAMVID, CITYSCAPES


def data(*labelled: str) -> ClipData:
    """Clips of frames that are (x) or are not (.) labelled."""
    image, labels = partial(np.zeros, (2, 2, 3), np.uint8), partial(np.zeros, (2, 2), np.uint8)
    frames = [
        [ClipFrame(f"{clip}/{i}", image, labels if mark == "x" else None) for i, mark in enumerate(marks)]
        for clip, marks in enumerate(labelled)
    ]
    return ClipData("made", CAMVID, tuple(Clip(str(clip), tuple(each)) for clip, each in enumerate(frames)))


def scored(half: ClipData) -> list[str]:
    return [sample.name for sample in half.samples(2)]


def shown(half: ClipData) -> list[str]:
    return [frame.name for clip in half.clips for frame in clip.frames]


def test_one_clip_is_cut_in_the_middle_of_its_pairs():
    first, second = two_folds(data("xxxxxxx"))
    assert (first.number, second.number) == (0, 1)
    assert scored(first.train) == scored(second.test) == ["0/1", "0/2", "0/3"]
    assert scored(first.test) == scored(second.train) == ["0/4", "0/5", "0/6"]
    # The second half's stream begins with the first one's last frame, whose labels do not count there.
    assert shown(first.test)[0] == "0/3"
    assert first.test.clips[0].frames[0].labels is None


def test_several_clips_are_cut_between_them():
    first, _ = two_folds(data("xx", "xxx", "x", "...", "xxxx"))
    assert shown(first.train) == ["0/0", "0/1"]  # of three clips with pairs the first
    assert scored(first.test) == ["1/1", "1/2", "4/1", "4/2", "4/3"]


def test_sparse_labels():
    first, _ = two_folds(data("..x..x..x..x.."))
    assert scored(first.train) == ["0/2", "0/5"]
    assert scored(first.test) == ["0/8", "0/11"]
    assert shown(first.test)[0] == "0/5"


@pytest.mark.parametrize("clips", [(), ("x",), ("xx",), ("x", "x"), (".....",)])
def test_too_few_pairs_are_refused(clips: tuple[str, ...]):
    with pytest.raises(ConfigurationError, match="at least 2"):
        two_folds(data(*clips))


def test_two_splits_are_one_fold():
    fold = one_fold(data("xxx"), data("..x", "x"))
    assert fold.number == 0
    assert scored(fold.train) == ["0/1", "0/2"]
    assert scored(fold.test) == ["0/2"]
    # What has no frame before it is shown, and does not count.
    assert not any(frame.labels for frame in fold.test.clips[1].frames)


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [
        (data("x"), data("xx"), "no labelled frame with a frame before it"),
        (data("xx"), data("..."), "no labelled frame with a frame before it"),
        (data(), data("xx"), "no labelled frame with a frame before it"),
        (data("xx"), replace(data("xx"), classes=CITYSCAPES), "different classes"),
    ],
)
def test_splits_that_do_not_fit_are_refused(train: ClipData, test: ClipData, said: str):
    with pytest.raises(ConfigurationError, match=said):
        one_fold(train, test)


@given(st.lists(st.text("x.", max_size=12), max_size=5))
def test_every_pair_is_tested_on_once_and_never_trained_on_then(clips: list[str]):
    made = data(*clips)
    pairs = [sample.name for sample in made.samples(2)]
    if len(pairs) < 2:
        return
    folds = two_folds(made)
    assert sorted(itertools.chain(*(scored(fold.test) for fold in folds))) == sorted(pairs)
    for fold in folds:
        labels = [{f.name for c in half.clips for f in c.frames if f.labels} for half in (fold.train, fold.test)]
        assert all(labels)
        assert not labels[0] & labels[1]
        # A clip's frames stay together in order, without a gap.
        for half in (fold.train, fold.test):
            for clip in half.clips:
                assert clip.frames[0].labels is None  # it is only a previous one
                numbers = [int(frame.name.split("/")[1]) for frame in clip.frames]
                assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
