"""The promise, on real video: CamVid's 15 Hz clip, public ESPNet weights, one pass, no labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import netwarp
from netwarp.data.frames import open_frames
from netwarp.engine.evaluate import evaluate
from netwarp.model.label_set import CAMVID, IGNORE

DATA = Path(__file__).parents[2] / "shared" / "data"
VOID = 11


@pytest.mark.skipif(not (DATA / "camvid").is_dir(), reason="the real data does not lie beside the checkout")
def test_training_free_gains_on_the_real_clip():
    base = netwarp.load_base("netwarp:espnet", weights=DATA / "espnet" / "espnet_p_2_q_8_camvid.pth")

    def clip():
        for frame in open_frames(DATA / "camvid" / "val"):
            labels = np.array(Image.open(DATA / "camvid" / "valannot" / f"{frame.name}.png"))
            labels[labels == VOID] = IGNORE
            yield frame.image, labels

    rows = {
        "base": netwarp.VideoModel(base, []),
        "training-free": netwarp.VideoModel(base, training_free=True),
    }
    scores = evaluate(rows, [clip()], len(CAMVID))
    single, video = scores["base"], scores["training-free"]
    assert single.frames == 101
    assert single.miou == pytest.approx(70.02, abs=0.05)
    assert video.miou >= single.miou + 0.5
    assert video.tc >= single.tc + 1.0
    assert video.tiou[2] > single.tiou[2]
