"""Mean IoU without each clip, and what follows for a difference."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from netwarp.datasets.clips import Clip, ClipData, ClipFrame
from netwarp.lab.study.summary import Jackknife, jackknife
from netwarp.label_sets import CAMVID
from netwarp.metrics import IoU

RNG = np.random.default_rng(0)
TRUTH = {f"{clip}/{i}": RNG.integers(0, 3, (6, 8), dtype=np.uint8) for clip in "abc" for i in range(2)}
SAID = {name: RNG.integers(0, 4, (6, 8)) for name in TRUTH}


def frame(name: str, labelled: bool = True) -> ClipFrame:
    return ClipFrame(name, lambda: np.zeros((6, 8, 3), np.uint8), (lambda: TRUTH[name]) if labelled else None)


def data(*clips: str) -> ClipData:
    return ClipData("made", CAMVID, tuple(Clip(c, (frame(f"{c}/0"), frame(f"{c}/1", c != "c"))) for c in clips))


def test_each_clip_is_left_out_in_turn():
    made = data("a", "b", "c")
    left_out = Jackknife(made)
    for each in (f for clip in made.clips for f in clip.frames):
        left_out.add(each, torch.from_numpy(SAID[each.name])[None])
    scores = left_out.scores()
    assert set(scores) == {"a", "b", "c"}
    for clip, score in scores.items():
        iou = IoU(len(CAMVID))
        for name in TRUTH:
            if name[0] != clip and name != "c/1":  # nobody labelled that one
                iou.update(SAID[name][None], TRUTH[name][None])
        assert score == pytest.approx(iou.compute())


def test_a_single_clip_says_nothing():
    made = data("a")
    left_out = Jackknife(made)
    left_out.add(made.clips[0].frames[0], torch.zeros(1, 6, 8, dtype=torch.int64))
    assert left_out.scores() == {}
    assert math.isnan(jackknife({}, {}))


def test_for_a_mean_the_jackknife_is_its_standard_error():
    values = np.array([1.0, 4.0, 2.0, 7.0, 3.0])
    without = {str(i): float(np.delete(values, i).mean()) for i in range(len(values))}
    nothing = dict.fromkeys(without, 0.0)
    assert jackknife(without, nothing) == pytest.approx(values.std(ddof=1) / math.sqrt(len(values)))
    assert jackknife(without, without) == 0.0
