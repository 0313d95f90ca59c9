"""The promises on real data: CamVid and public ESPNet weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import netwarp
from netwarp.cli import main
from netwarp.datasets.registry import open_data
from netwarp.evaluation.evaluate import evaluate

DATA = Path(__file__).parents[2] / "shared" / "data"


WEIGHTS = DATA / "espnet" / "espnet_p_2_q_8_camvid.pth"

needs_data = pytest.mark.skipif(not (DATA / "camvid").is_dir(), reason="the real data does not lie beside the checkout")


@needs_data
def test_training_free_gains_on_the_real_clip():
    base = netwarp.load_base("netwarp:espnet", weights=WEIGHTS)
    rows = {
        "base": netwarp.VideoModel(base, []),
        "training-free": netwarp.VideoModel(base, training_free=True),
    }
    scores = evaluate(rows, open_data(f"camvid:{DATA / 'camvid'}", "val"))
    single, video = scores["base"], scores["training-free"]
    assert single["frames"] == 101
    assert single["miou"] == pytest.approx(70.02, abs=0.05)
    assert video["miou"] >= single["miou"] + 0.5
    assert video["tc"] >= single["tc"] + 1.0
    assert video["tiou"][2] > single["tiou"][2]


@needs_data
def test_the_network_alone_has_the_iou_that_is_known_of_it(tmp_path):
    found = tmp_path / "scores.json"
    data = f"camvid:{DATA / 'camvid'}"
    arguments = ["--data", data, "--split", "test", "--base", "netwarp:espnet", "--weights", str(WEIGHTS)]
    assert main(["evaluate", *arguments, "--widths", "2", "--json", str(found)]) == 0
    scores = json.loads(found.read_text())
    assert scores["frames"] == 233
    assert scores["miou"] == pytest.approx(57.26, abs=0.05)
    assert scores["tc"] is None  # a frame a second: none follows another
