"""Intervals by a bootstrap over blocks: of the right blocks, as wide as theory says, whoever counted."""

import json
import math

import numpy as np
import pytest
import torch

from inference.labelled import MadeClip, data_of
from netwarp import VideoModel
from netwarp.cli.tables import score_record
from netwarp.datasets.clips import ClipData
from netwarp.evaluation import intervals
from netwarp.evaluation.evaluate import evaluate
from netwarp.evaluation.scores import MetricCollection, MetricSettings


@pytest.fixture
def data(pictures, monkeypatch):
    monkeypatch.setattr(intervals, "REPLICATES", 20)
    return data_of(MadeClip(pictures(25)), MadeClip(pictures(12), seed=1), MadeClip(pictures(3), seed=2))


def scored(data, **options):
    torch.manual_seed(0)
    return evaluate({"m": VideoModel(torch.nn.Conv2d(3, 5, 1), [])}, data, intervals=True, **options)["m"]


def test_a_clips_figures_are_those_of_the_clip_alone(data):
    scores = scored(data)
    assert list(scores["clips"]) == sorted(clip.name for clip in data.clips)
    for clip in data.clips:
        alone = scored(ClipData("one", data.classes, (clip,)))
        found = scores["clips"][clip.name]
        for key in ("miou", "tiou", "tc", "tc_miou", "vc", "frames"):
            assert found[key] == pytest.approx(alone[key], nan_ok=True)
        assert found["intervals"] == alone["intervals"]
        assert bool(found["intervals"]) == (len(clip.frames) > intervals.BLOCK)
    low, high = scores["intervals"]["miou"]
    assert low < scores["miou"] < high
    assert len(scores["resampled"]["tiou"][2]) == 20


def test_whoever_counts(data):
    assert scored(data, workers=3)["intervals"] == scored(data)["intervals"]


def test_width_is_that_of_a_mean_of_blocks():
    """Whole frames right or wrong, alike within each block: the share's standard error is known."""
    collection = MetricCollection(MetricSettings(2, windows=()))
    rng, blocks = np.random.default_rng(0), 60
    right = rng.random(blocks) < 0.7
    collection.start(intervals.BLOCK * blocks, "clip")
    for each in right:
        for _ in range(intervals.BLOCK):
            target = torch.zeros(1, 4, 4, dtype=torch.long)
            collection.add(target if each else target + 1, target)
    scores = collection.scores(intervals=True)
    low, high = (2 * bound for bound in scores["intervals"]["miou"])  # class 1 is predicted, and nowhere right
    share = right.mean()
    assert 2 * scores["miou"] == pytest.approx(100 * share)
    assert high - low == pytest.approx(100 * 2 * 1.96 * math.sqrt(share * (1 - share) / blocks), rel=0.15)


def test_json_has_bounds_and_no_draws(data):
    record = json.loads(json.dumps(score_record(scored(data), data.classes.names)))
    assert "resampled" not in record
    low, high = record["intervals"]["tiou"]["2"]
    assert low < record["tiou"]["2"] < high
    assert record["clips"].keys() == {clip.name for clip in data.clips}


def test_a_gain_is_taken_draw_by_draw(data):
    torch.manual_seed(0)
    models = {name: VideoModel(torch.nn.Conv2d(3, 5, 1), []) for name in ("control", "model")}
    rows = evaluate(models, data, intervals=True)
    found = intervals.gains(rows["model"], rows["control"])
    assert {"miou", "tiou", "tc"} <= set(found)
    assert "ms_per_frame" not in found
    for ours, theirs, told in (
        (*(rows[row]["resampled"]["miou"] for row in ("model", "control")), found["miou"]),
        (*(rows[row]["resampled"]["tiou"][2] for row in ("model", "control")), found["tiou"][2]),
    ):
        differences = sorted(a - b for a, b in zip(ours, theirs, strict=True))
        low, high = told["interval"]
        assert differences[0] <= low <= differences[len(differences) // 2] <= high <= differences[-1]
    assert found["miou"]["gain"] == rows["model"]["miou"] - rows["control"]["miou"]
    same = intervals.gains(rows["model"], rows["model"])
    assert same["tc"] == {"gain": 0, "interval": [0, 0]}


def test_without_draws_a_gain_has_no_interval(pictures):
    rows = evaluate({"a": VideoModel(torch.nn.Conv2d(3, 5, 1), [])}, data_of(MadeClip(pictures(3))), intervals=True)
    assert intervals.gains(rows["a"], rows["a"])["miou"] == {"gain": 0, "interval": None}
