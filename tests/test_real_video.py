"""The promises on real data: CamVid and public ESPNet weights, as the command measures them."""

import json
from pathlib import Path

import pytest

from netwarp.cli import main

DATA = Path(__file__).parents[2] / "shared" / "data"
WEIGHTS = DATA / "espnet" / "espnet_p_2_q_8_camvid.pth"


@pytest.mark.skipif(not (DATA / "camvid").is_dir(), reason="the real data does not lie beside the checkout")
def test_training_free_gains_on_the_real_clip_over_the_iou_that_is_known_of_the_network(tmp_path):
    data = ["--data", f"camvid:{DATA / 'camvid'}", "--split", "val"]
    network = ["--base", "netwarp:espnet", "--weights", str(WEIGHTS), "--training-free", "--compare"]
    assert main(["evaluate", *data, *network, "--widths", "2", "--json", str(tmp_path / "scores.json")]) == 0
    video = json.loads((tmp_path / "scores.json").read_text())
    (single,) = video["compared_with"].values()
    assert single["frames"] == video["frames"] == 101
    assert single["miou"] == pytest.approx(70.02, abs=0.05)
    assert video["miou"] >= single["miou"] + 0.5
    assert video["tc"] >= single["tc"] + 1.0
    assert video["tiou"]["2"] > single["tiou"]["2"]
