"""The promise, on real video: CamVid's 15 Hz clip, public ESPNet weights, one pass, no labels."""

from __future__ import annotations

from pathlib import Path

import pytest

import netwarp
from netwarp.data.datasets import open_data
from netwarp.engine.evaluate import evaluate

DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.mark.skipif(not (DATA / "camvid").is_dir(), reason="the real data does not lie beside the checkout")
def test_training_free_gains_on_the_real_clip():
    base = netwarp.load_base("netwarp:espnet", weights=DATA / "espnet" / "espnet_p_2_q_8_camvid.pth")

    rows = {
        "base": netwarp.VideoModel(base, []),
        "training-free": netwarp.VideoModel(base, training_free=True),
    }
    scores = evaluate(rows, open_data(f"camvid:{DATA / 'camvid'}", "val"))
    single, video = scores["base"], scores["training-free"]
    assert single.frames == 101
    assert single.miou == pytest.approx(70.02, abs=0.05)
    assert video.miou >= single.miou + 0.5
    assert video.tc >= single.tc + 1.0
    assert video.tiou[2] > single.tiou[2]
