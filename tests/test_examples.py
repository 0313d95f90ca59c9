"""The examples run as they stand."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


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
