"""Weights whose classes come in another order than the data's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from netwarp import load_base
from netwarp.errors import OutputError
from netwarp.model.label_set import CAMVID
from netwarp.report.reproduce.class_order import in_order_of

SPEC = "netwarp:dilation8@0.02"


@pytest.fixture
def weights(tmp_path: Path) -> str:
    """In the order that the public weights have."""
    path = tmp_path / "weights.safetensors"
    network = load_base(SPEC)
    torch.nn.init.normal_(network.ctx_final.bias)
    save_file(network.state_dict(), path)
    return str(path)


def test_outputs_come_in_the_datas_order(weights: str, tmp_path: Path):
    theirs = load_base(SPEC, weights)
    assert theirs.classes != CAMVID.names
    path = in_order_of(CAMVID.names, SPEC, weights, tmp_path)
    ours = load_base(SPEC, path, CAMVID.names)
    image = torch.rand(1, 3, 16, 24) * 100
    with torch.no_grad():
        before, after = theirs(image)[0], ours(image)[0]
    for index, name in enumerate(CAMVID.names):
        torch.testing.assert_close(after[index], before[theirs.classes.index(name)], rtol=0, atol=1e-5)
    # Done again it is the same file.
    assert in_order_of(CAMVID.names, SPEC, weights, tmp_path) == path


@pytest.mark.parametrize("names", [None, [f"thing {i}" for i in range(11)]])
def test_the_right_order_and_unknown_names_stay(weights: str, tmp_path: Path, names):
    names = names or load_base(SPEC, weights).classes
    assert in_order_of(names, SPEC, weights, tmp_path) == Path(weights)


def test_a_folder_that_cannot_be_written(weights: str, tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="--out"):
        in_order_of(CAMVID.names, SPEC, weights, tmp_path / "file")
