"""A row's training, kept, gone on with, and tidied up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from netwarp import load_base
from netwarp.datasets.registry import open_data
from netwarp.lab.study import training as row_training
from netwarp.lab.study.build import build
from netwarp.lab.study.folds import one_fold
from netwarp.lab.study.rows import WHOLE, Recipe, Row
from netwarp.lab.study.training import ends, file_lock, leave, set_dropout, train_row

ROW = Row(
    "NetWarp", ("at_eighth",), memory="previous", start=(1.0, 0.0), trained=(WHOLE,),
    recipe=Recipe(steps=3, batch_size=1, crop=(32, 48), flip=0.5),
)  # fmt: skip


@pytest.fixture(scope="module")
def fold():
    return one_fold(*(open_data("streets:clips=1,frames=3,size=64x48", split) for split in ("train", "test")))


def trained(fold, folder: Path | None, row: Row = ROW) -> tuple[dict[str, torch.Tensor], list[float]]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build(row, load_base("netwarp:streetnet"))
    losses = train_row(model, row, fold, 0, device="cpu", cache=Path("unused"), replay=False, folder=folder)
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}, losses


def train_here(fold, folder: Path, row: Row) -> dict[str, torch.Tensor]:
    """The same beside whoever waits: what another process would leave."""
    made, _ = trained(fold, None, row)
    model = build(row, load_base("netwarp:streetnet"))
    model.load_state_dict(made)
    model.save(folder / "model.safetensors")
    return made


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # flow is kept


def test_a_model_that_is_kept_is_not_trained_again(fold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, kept = tmp_path / "trained", replace(ROW, kept=True)
    first, losses = trained(fold, folder, kept)
    assert len(losses) == 3
    assert same(first, trained(fold, None)[0])
    leave(folder, kept=True)
    assert (folder / "model.safetensors").is_file()
    assert not (folder / "last.ckpt").exists()
    monkeypatch.setattr(row_training, "train", lambda *_, **__: pytest.fail("trained again"))
    again, losses = trained(fold, folder, kept)
    assert losses == []
    assert same(first, again)


def test_a_training_whose_figures_are_not_kept_is_gone_on_with(fold, tmp_path: Path):
    """It was cut off between its last step and the figures: the checkpoint is still there."""
    folder = tmp_path / "trained"
    first, losses = trained(fold, folder)
    again, same_losses = trained(fold, folder)
    assert same(first, again)
    assert same_losses == losses


def test_of_two_that_need_the_same_training_one_waits(fold, tmp_path: Path):
    folder, kept = tmp_path / "trained", replace(ROW, kept=True)
    with ThreadPoolExecutor(1) as pool:
        with file_lock(folder):
            other = pool.submit(trained, fold, folder, kept)
            with pytest.raises(TimeoutError):
                other.result(0.5)
            mine = train_here(fold, folder, kept)
        theirs, losses = other.result(120)
    assert losses == []  # the model was there
    assert same(mine, theirs)


def test_nothing_is_left_of_what_is_not_kept(fold, tmp_path: Path):
    trained(fold, tmp_path / "trained")
    leave(tmp_path / "trained", kept=False)
    assert not (tmp_path / "trained").exists()
    leave(tmp_path / "trained", kept=False)  # nothing was there


def test_dropout_is_set_or_left():
    network = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Dropout2d(0.25)))
    set_dropout(network, None)
    assert (network[0].p, network[1][0].p) == (0.5, 0.25)
    set_dropout(network, 0.0)
    assert (network[0].p, network[1][0].p) == (0.0, 0.0)


def test_ends_of_losses():
    assert ends([4.0, 3.0, 2.0, 1.0]) == (4.0, 1.0)
    assert all(value != value for value in ends([]))
