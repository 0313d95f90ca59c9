"""The examples run as they stand."""

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from cli.small_videos import picture
from netwarp import VideoModel, load_base, segment
from netwarp.export import export
from netwarp.video.label_maps import read_mask

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(path for path in FOLDER.glob("*.py") if path.stem != "onnx_loop")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path, capsys):
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out


def test_the_flow_of_the_example_points_backward():
    flow_of = runpy.run_path(str(next(p for p in EXAMPLES if p.stem == "own_flow")))["GlobalShift"]()
    scene = torch.randint(0, 256, (1, 3, 64, 99), dtype=torch.uint8)
    previous, current = scene[..., :96], scene[..., 3:]  # the camera pans right: what it sees moves left
    flow = flow_of(current, previous)
    assert flow.shape == (1, 2, 64, 96)
    np.testing.assert_allclose(flow[0, 0].mean(), 3, atol=0.5)
    np.testing.assert_allclose(flow[0, 1].mean(), 0, atol=0.5)


def test_the_loop_without_pytorch_gives_the_labels_of_segment(tmp_path):
    (tmp_path / "frames").mkdir()
    for index in range(4):
        PIL.Image.fromarray(picture(index)).save(tmp_path / "frames" / f"{index}.png")
    torch.manual_seed(0)
    model = VideoModel(load_base("netwarp:streetnet"), training_free=True)
    export(model, tmp_path / "step.onnx", (48, 64))
    alone = "import runpy, sys; sys.modules |= dict.fromkeys(('torch', 'netwarp')); sys.argv[:1] = []; "
    run = [sys.executable, "-c", f"{alone}runpy.run_path(sys.argv[0], run_name='__main__')", FOLDER / "onnx_loop.py"]
    subprocess.run([*run, "step.onnx", "frames", "labels"], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    expected = [result.labels for result in segment(tmp_path / "frames", model, edges="off", detect_cuts=False)]
    found = [read_mask(tmp_path / "labels" / f"{index}.png") for index in range(4)]
    assert len(np.unique(expected)) > 1
    assert np.mean(np.array(found) == np.array(expected)) > 0.999


def test_the_notebook_runs_and_is_kept_without_what_it_printed(tmp_path, monkeypatch, capsys):
    """In this process: it is plain Python, of which a kernel would import all anew."""
    cells = json.loads((FOLDER / "quickstart.ipynb").read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
    monkeypatch.chdir(tmp_path)
    names = {}
    for cell in code:
        exec("".join(cell["source"]), names)
    assert (tmp_path / "out.mp4").stat().st_size > 0
    right, flicker = zip(
        *(map(float, re.findall(r"[\d.]+(?= %)", line)) for line in capsys.readouterr().out.splitlines()[1:3]),
        strict=True,
    )
    assert right[1] > right[0]
    assert flicker[1] < flicker[0]
