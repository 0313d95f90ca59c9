"""docs/own_parts.md: a flow, gate, metric and data set of one's own, by their names."""

import json
import re
import sys
from pathlib import Path

import pytest
import torch

from model.tiny import PLAIN, tiny
from netwarp import NetWarpError, VideoModel, load
from netwarp.cli import main
from netwarp.errors import ConfigurationError
from netwarp.evaluation.own_metrics import own_metrics
from netwarp.flow import make_flow
from netwarp.model.gate_names import make_gate

PAGE = Path(__file__).parents[1] / "docs" / "own_parts.md"


@pytest.fixture
def mine(tmp_path, monkeypatch):
    code = re.search(r"```python\n# mine.py\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]
    (tmp_path / "mine.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    yield tmp_path
    sys.modules.pop("mine", None)


def test_the_pages_command(mine, capsys):
    command = re.search(r"```sh\nnetwarp (.*?)\n```", PAGE.read_text())[1].split()
    assert main([*command, "--json", "scores.json"]) == 0
    assert "Covered" in capsys.readouterr().out
    scores = json.loads((mine / "scores.json").read_text())
    assert 0 <= scores["Covered"] <= 100
    assert scores["frames"] == 3


def test_a_saved_model_keeps_names_and_runs_no_code_by_them(mine):
    model = VideoModel(tiny(), ["output"], "mine:flow", None, gate="mine:gate", preprocess=PLAIN)
    model.save(mine / "m.safetensors")
    sys.modules.pop("mine")
    with pytest.raises(ConfigurationError, match="mine:flow"):
        load(mine / "m.safetensors", tiny())
    with pytest.raises(ConfigurationError, match="mine:gate, which is code"):
        load(mine / "m.safetensors", tiny(), flow="zero")
    assert "mine" not in sys.modules
    again = load(mine / "m.safetensors", tiny(), flow="mine:flow", gate="mine:gate")
    frame = torch.rand(1, 3, 16, 24)
    assert (again.estimate_flow(frame, frame)[:, 0] == 2).all()
    assert again.configuration()["gate"] == {"own": "mine:gate"}


@pytest.mark.parametrize("spec", ["mine:nothing", "mine:torch", "nowhere:flow"])
def test_what_cannot_be_used_is_named(mine, spec):
    for make in (make_flow, make_gate):
        with pytest.raises(NetWarpError, match=spec.partition(":")[2] if "mine" in spec else "nowhere"):
            make(spec)


def test_metrics_that_are_none(mine):
    for wrong, says in (("Covered", "must be a list"), ([3], "not 3"), (["mine:flow"], "makes function")):
        with pytest.raises(ConfigurationError, match=says):
            own_metrics(wrong)
