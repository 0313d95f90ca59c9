"""Trainings that are kept: done once, gone on with, by one of two processes, tidied up; and locks on folders."""

import multiprocessing
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
from torch import nn

from netwarp import load_base
from netwarp.datasets.registry import open_data
from netwarp.errors import ConfigurationError, OutputError
from netwarp.lab.study import training as study_training
from netwarp.lab.study.build import build
from netwarp.lab.study.folds import one_fold
from netwarp.lab.study.rows import WHOLE, Recipe, Row
from netwarp.lab.study.training import BaseTraining, file_lock, leave, set_dropout, train_row, trained_base
from training.processes import outcome, started

ROW = Row(
    "NetWarp", ("at_eighth",), memory="previous", start=(1.0, 0.0), trained=(WHOLE,),
    recipe=Recipe(steps=3, batch_size=1, crop=(32, 48), flip=0.5),
)  # fmt: skip
KEPT = replace(ROW, kept=True)


@pytest.fixture(scope="module")
def fold():
    return one_fold(*(open_data("streets:clips=1,frames=3,size=64x48", split) for split in ("train", "test")))


def trained(fold, folder: Path | None, row: Row = ROW) -> tuple[dict[str, torch.Tensor], list[float]]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build(row, load_base("netwarp:streetnet"))
    losses = train_row(model, row, fold, 0, device="cpu", cache=Path("unused"), replay=False, folder=folder)
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}, losses


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_a_model_that_is_kept_is_not_trained_again(fold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "trained"
    first, losses = trained(fold, folder, KEPT)
    assert len(losses) == 3
    assert same(first, trained(fold, None)[0])
    leave(folder, kept=True)
    assert (folder / "model.safetensors").is_file()
    assert not (folder / "last.ckpt").exists()
    monkeypatch.setattr(study_training, "train", lambda *_, **__: pytest.fail("trained again"))
    again, losses = trained(fold, folder, KEPT)
    assert losses == []
    assert same(first, again)


def test_a_training_whose_scores_are_not_kept_is_gone_on_with(fold, tmp_path: Path):
    """It was cut off between its last step and the scores: the checkpoint is still there."""
    folder = tmp_path / "trained"
    first, losses = trained(fold, folder)
    again, same_losses = trained(fold, folder)
    assert same(first, again)
    assert same_losses == losses
    for _ in range(2):  # the second time nothing is there
        leave(folder, kept=False)
        assert not folder.exists()


def test_of_two_that_need_the_same_training_one_waits(fold, tmp_path: Path):
    folder = tmp_path / "trained"
    mine, _ = trained(fold, folder, KEPT)
    (folder / "model.safetensors").rename(tmp_path / "done")
    with ThreadPoolExecutor(1) as pool:
        with file_lock(folder):
            other = pool.submit(trained, fold, folder, KEPT)
            with pytest.raises(TimeoutError):
                other.result(0.5)
            (tmp_path / "done").rename(folder / "model.safetensors")
        theirs, losses = other.result(120)
    assert losses == []  # the model was there
    assert same(mine, theirs)


def hold(path: Path, held: Connection) -> None:
    with file_lock(path):
        held.send("in")
        time.sleep(600)


def test_a_process_that_is_killed_keeps_nobody_out(tmp_path: Path):
    here, there = multiprocessing.Pipe()
    process = started(hold, tmp_path / "x", there)
    assert here.recv() == "in"
    process.kill()
    assert outcome(process) == -signal.SIGKILL
    with file_lock(tmp_path / "x"), file_lock(tmp_path / "y"):
        pass


def test_a_lock_in_a_place_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError), file_lock(tmp_path / "file" / "x"):
        pass


@pytest.mark.parametrize(("share", "expected"), [(None, (0.5, 0.25)), (0.0, (0.0, 0.0))])
def test_dropout_is_set_or_left(share: float | None, expected: tuple[float, float]):
    network = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Dropout2d(0.25)))
    set_dropout(network, share)
    assert (network[0].p, network[1][0].p) == expected


HOW = BaseTraining("streets:clips=1,frames=2,size=64x48", steps=1, batch_size=1, crop=(32, 32))
SPEC = "netwarp:streetnet"


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """The first labels of all that would have been trained on; untrained networks come out."""
    asked: list[torch.Tensor] = []
    note = lambda _, samples, *__, **___: asked.append(torch.tensor(samples[0].frames[-1].labels()))  # noqa: E731
    monkeypatch.setattr(study_training, "train", note)
    return asked


def test_a_network_is_trained_once(tmp_path: Path, trainings: list):
    path = trained_base(SPEC, None, HOW, tmp_path)
    assert trained_base(SPEC, None, HOW, tmp_path) == path
    assert len(trainings) == 1
    assert load_base(SPEC, path).classes == load_base(SPEC).classes
    assert [each.name for each in tmp_path.iterdir() if each.suffix != ".lock"] == [path.name]


def test_of_two_that_need_the_same_network_one_waits(tmp_path: Path, trainings: list):
    path = trained_base(SPEC, None, HOW, tmp_path)
    content = path.read_bytes()
    path.unlink()
    with ThreadPoolExecutor(1) as pool:
        with file_lock(path.with_suffix("")):
            other = pool.submit(trained_base, SPEC, None, HOW, tmp_path)
            with pytest.raises(TimeoutError):
                other.result(0.3)
            path.write_bytes(content)
        assert other.result(60) == path
    assert len(trainings) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"steps": 2}, {"rate": 1e-4}, {"dropout": 0.0}, {"channels_last": True}, {"split": "val"},
        {"data": "streets:clips=2,frames=2,size=64x48"}, {"data": "streets:clips=1,frames=2,size=64x48,seed=3"},
    ],
)  # fmt: skip
def test_other_settings_are_another_network(tmp_path: Path, trainings: list, other: dict):
    assert trained_base(SPEC, None, HOW, tmp_path) != trained_base(SPEC, None, replace(HOW, **other), tmp_path)
    assert len(trainings) == 2


@pytest.mark.parametrize(
    "name",
    ["netwarp.streets.dataset.RENDERING", "torch.__version__", "netwarp.lab.study.store.__version__",
     "netwarp.lab.study.store.FORMAT"],
)  # fmt: skip
def test_other_versions_are_another_network(tmp_path: Path, trainings: list, monkeypatch, name: str):
    before = trained_base(SPEC, None, HOW, tmp_path)
    monkeypatch.setattr(name, "1000")
    assert trained_base(SPEC, None, HOW, tmp_path) != before


def test_a_training_that_fails_lets_the_next_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def failing(*_: object, **__: object) -> None:
        raise ConfigurationError("not today")

    with monkeypatch.context() as patch:
        patch.setattr(study_training, "train", failing)
        with pytest.raises(ConfigurationError, match="not today"):
            trained_base(SPEC, None, HOW, tmp_path)
    assert trained_base(SPEC, None, HOW, tmp_path).is_file()
    assert len(list(tmp_path.glob("[!.]*"))) == 1  # nothing is left of the training


def test_labels_are_numbered_as_the_network_has_them(tmp_path: Path, trainings: list):
    """Classes that are asked for in another order than the data's are trained in that order."""
    names = load_base(SPEC).classes
    for order in (names, names[::-1]):
        trained_base(SPEC, order, HOW, tmp_path)
    first, second = trainings
    assert torch.equal(second, (len(names) - 1 - first.int()).byte())
