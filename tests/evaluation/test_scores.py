"""Times of frames: those with a past count, as a first frame has none to bring along; a new metric is one line."""

import math

import pytest
import torch

from inference.labelled import MadeClip, data_of
from netwarp import VideoModel
from netwarp.cli.tables import class_table, score_record, score_table
from netwarp.evaluation.evaluate import evaluate
from netwarp.evaluation.scores import METRICS, Figure, MetricCollection, MetricSettings, MetricSpec
from netwarp.metrics import Metric


def labels(side: int = 4) -> torch.Tensor:
    return torch.zeros((1, side, side), dtype=torch.int64)


def counted(*runs: list[float], sides: dict[float, int] | None = None) -> MetricCollection:
    made = MetricCollection(MetricSettings(2, windows=()))
    for seconds in runs:
        made.start(len(seconds))
        for second in seconds:
            made.add(labels((sides or {}).get(second, 4)))
            made.time(second)
    return made


def test_first_frames_are_left_out():
    assert counted([100, 1, 2, 3]).scores()["ms_per_frame"] == 2000
    assert counted([100, 1], [200, 3]).scores()["ms_per_frame"] == 2000


def test_where_there_are_only_first_frames_they_count():
    assert counted([5], [7], [6]).scores()["ms_per_frame"] == 6000
    assert math.isnan(counted().scores()["ms_per_frame"])


def test_a_frame_of_another_size_is_a_first_one():
    assert counted([100, 1, 50, 3], sides={50: 8, 3: 8}).scores()["ms_per_frame"] == 2000


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_collections_are_merged(order):
    parts = [counted([100, 1], [50]), counted([200, 3])]
    total = parts[order[0]]
    total.merge(parts[order[1]])
    assert total.scores()["ms_per_frame"] == 2000
    assert total.reduce().scores()["ms_per_frame"] == 2000


def test_a_frame_without_the_network_counts_by_their_share():
    made = counted([100, 8])
    for second in (1, 2, 6):
        made.add(labels())
        made.time(second, network=0.0)
    assert made.scores()["ms_per_frame"] == (8000 + 3 * 2000) / 4
    assert made.scores()["network_share"] == made.reduce().scores()["network_share"] == 40


class Changes(Metric):
    """A metric of its own: pixels whose label differs from that of the frame before."""

    def __init__(self) -> None:
        super().__init__(changed=(), pixels=())

    def update(self, previous: torch.Tensor, prediction: torch.Tensor) -> None:
        self.changed = self.changed + (previous != prediction).sum()
        self.pixels = self.pixels + prediction.numel()

    def compute(self) -> float:
        return 100 * int(self.changed) / int(self.pixels) if self.pixels else math.nan


def test_a_metric_is_one_class_and_one_line(monkeypatch, pictures):
    spec = MetricSpec(
        lambda settings: Changes(),
        ("previous", "prediction"),
        {"changes": Figure("changed"), "halves": Figure("half {}", lambda m: {1: m.compute() / 2, 2: math.nan})},
    )
    monkeypatch.setitem(METRICS, "changes", spec)
    data = data_of(MadeClip(pictures(3)), MadeClip(pictures(2), seed=1))
    models = {"m": VideoModel(torch.nn.Conv2d(3, 5, 1), [])}
    labels = []
    (scores,) = evaluate(models, data, windows=(), on_labels=lambda _, __, found: labels.append(found)).values()
    share = 100 * sum((labels[i] != labels[i - 1]).double().mean().item() for i in (1, 2, 4)) / 3
    assert scores["changes"] == pytest.approx(share)
    record = score_record(scores, data.classes.names)
    assert record["changes"] == pytest.approx(share, abs=1e-3)
    assert record["halves"] == {"1": pytest.approx(share / 2, abs=1e-3), "2": None}
    head, _, line = score_table({"m": scores}).splitlines()
    assert "changed  half 1" in head
    assert f"{share:.2f}" in line
    assert "changed" not in class_table({"m": scores}, data.classes.names)
    found, once = evaluate(models, data, windows=(), workers=2)["m"], scores
    assert found["changes"] == once["changes"]
