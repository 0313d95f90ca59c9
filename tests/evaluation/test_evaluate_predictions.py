"""Label maps from files score as the model that made them, and as counting pixel by pixel says."""

import math

import numpy as np
import pytest
from PIL import Image

from inference.labelled import MadeClip, data_of
from model.tiny import video
from netwarp.datasets.predictions import Predictions, PredictionWriter
from netwarp.errors import InputError
from netwarp.evaluation.evaluate import evaluate, evaluate_predictions


@pytest.fixture
def made(pictures):
    objects = np.zeros((32, 48), np.int32)
    objects[8:20, 10:30] = 7
    return MadeClip(pictures(9, seed=1), seed=1, instances={2: objects}), MadeClip(pictures(3, seed=2), {2}, seed=2)


@pytest.mark.parametrize("classes", [5, 4])
@pytest.mark.parametrize("workers", [1, 2])
def test_saved_labels_score_as_the_model_does(made, tmp_path, classes, workers):
    """With a class fewer than the model has outputs, its last output is written as none."""
    for clip in made:
        for labels in clip.labels.values():
            labels[labels == 4] = 255 if classes == 4 else 4
    data = data_of(*made, classes=classes)
    writer = PredictionWriter(tmp_path, data.classes)
    options = {"widths": (1, 3), "windows": (2, 8)}
    expected = evaluate(
        {"m": video(memory="fused")},
        data,
        **options,
        on_labels=lambda row, frame, labels: writer.write(frame.name, labels[0].numpy()),
    )["m"]
    found = evaluate_predictions(Predictions(tmp_path, data), data, **options, workers=workers)
    assert math.isnan(found["ms_per_frame"])
    assert math.isfinite(expected["iiou"])
    times = {"network_share": math.nan, "ms_per_frame": math.nan}  # no network ran
    np.testing.assert_equal(found, expected | times)


def test_consistency_needs_neighbours(made, tmp_path):
    data = data_of(made[0])
    for i in range(9):
        Image.fromarray(np.zeros((32, 48), np.uint8)).save(tmp_path / f"clip1_{i:03d}.png")
    made[0].read.clear()
    assert evaluate_predictions(Predictions(tmp_path, data), data)["tc"] == 100
    assert sorted(made[0].read) == [*range(9)]
    sparse = data_of(made[1])
    Image.fromarray(np.zeros((32, 48), np.uint8)).save(tmp_path / "clip2_002.png")
    Image.fromarray(np.zeros((32, 48), np.uint8)).save(tmp_path / "clip2_000.png")
    assert math.isnan(evaluate_predictions(Predictions(tmp_path, sparse), sparse)["tc"])
    assert made[1].read == [0]  # for its size alone, since it has no labels


def test_faulty_files_are_counted_after_all_were_read(made, tmp_path):
    data = data_of(made[0])
    for i in range(9):
        size = (16, 24) if i in (3, 5) else (32, 48)
        Image.fromarray(np.zeros(size, np.uint8)).save(tmp_path / f"clip1_{i:03d}.png")
    with pytest.raises(InputError, match=r"clip1_003\.png is 24×16, but its frame is 48×32.* \(and 1 more of 9"):
        evaluate_predictions(Predictions(tmp_path, data), data)
