"""A network that is trained first: once, again whenever something else would come of it, and by one of two."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from netwarp import load_base
from netwarp.errors import ConfigurationError
from netwarp.lab.study import training as base_training
from netwarp.lab.study.training import BaseTraining, trained_base

HOW = BaseTraining("streets:clips=1,frames=2,size=64x48", steps=1, batch_size=1, crop=(32, 32))
SPEC = "netwarp:streetnet"


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What would have been trained; untrained networks come out."""
    asked: list[str] = []

    def pretend(spec: str, classes, *_: object) -> torch.nn.Module:
        asked.append(spec)
        return load_base(spec, classes=classes)

    monkeypatch.setattr(base_training, "_trained", pretend)
    return asked


def test_it_is_trained_once(tmp_path: Path, trainings: list[str]):
    path = trained_base(SPEC, None, HOW, tmp_path)
    assert trained_base(SPEC, None, HOW, tmp_path) == path
    assert trainings == [SPEC]
    assert load_base(SPEC, path).classes == load_base(SPEC).classes
    assert [each.name for each in tmp_path.iterdir() if each.suffix != ".lock"] == [path.name]


@pytest.mark.parametrize(
    "other",
    [
        {"steps": 2}, {"rate": 1e-4}, {"dropout": 0.0}, {"channels_last": True}, {"split": "val"},
        {"data": "streets:clips=2,frames=2,size=64x48"}, {"data": "streets:clips=1,frames=2,size=64x48,seed=3"},
    ],
)  # fmt: skip
def test_other_settings_are_another_network(tmp_path: Path, trainings: list[str], other: dict):
    assert trained_base(SPEC, None, HOW, tmp_path) != trained_base(SPEC, None, replace(HOW, **other), tmp_path)
    assert len(trainings) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("netwarp.streets.dataset.RENDERING", 1000),
        ("torch.__version__", "1000.0"),
        ("netwarp.lab.study.store.__version__", "1000.0"),
        ("netwarp.lab.study.store.FORMAT", 1000),
    ],
)
def test_other_versions_are_another_network(tmp_path, trainings, monkeypatch: pytest.MonkeyPatch, name: str, value):
    before = trained_base(SPEC, None, HOW, tmp_path)
    monkeypatch.setattr(name, value)
    assert trained_base(SPEC, None, HOW, tmp_path) != before


def test_another_device_too(tmp_path: Path, trainings: list[str]):
    assert trained_base(SPEC, None, HOW, tmp_path) != trained_base(SPEC, None, HOW, tmp_path, "cuda:0")


def test_of_two_one_trains_and_the_other_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    began, go_on, trained = threading.Event(), threading.Event(), []

    def slow(*_: object) -> torch.nn.Module:
        trained.append(1)
        began.set()
        assert go_on.wait(60)
        return load_base(SPEC)

    monkeypatch.setattr(base_training, "_trained", slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(trained_base, SPEC, None, HOW, tmp_path)
        assert began.wait(60)
        second = pool.submit(trained_base, SPEC, None, HOW, tmp_path)
        with pytest.raises(TimeoutError):
            second.result(0.3)
        go_on.set()
        assert first.result() == second.result()
    assert trained == [1]


def test_one_that_fails_lets_the_next_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def failing(*_: object) -> torch.nn.Module:
        raise ConfigurationError("not today")

    with monkeypatch.context() as patch:
        patch.setattr(base_training, "_trained", failing)
        with pytest.raises(ConfigurationError, match="not today"):
            trained_base(SPEC, None, HOW, tmp_path)
    assert trained_base(SPEC, None, HOW, tmp_path).is_file()
    assert len(list(tmp_path.glob("[!.]*"))) == 1  # nothing is left of the training


def test_labels_are_numbered_as_the_network_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Classes that are asked for in another order than the data's are trained in that order."""
    seen = []

    def note(model, samples, *_: object, **__: object) -> None:
        seen.append(samples[0].frames[-1].labels())

    monkeypatch.setattr(base_training, "train", note)
    names = load_base(SPEC).classes
    for order in (names, names[::-1]):
        trained_base(SPEC, order, HOW, tmp_path)
    assert torch.equal(torch.tensor(seen[1]), torch.tensor(len(names) - 1 - seen[0].astype(int)).byte())
