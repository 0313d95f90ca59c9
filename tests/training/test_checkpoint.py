"""Checkpoints are whole or not there, damaged ones are said to be so, and those of another training are told apart."""

import copy
import dataclasses
import os
import re
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netwarp.errors import OutputError, WeightsError
from netwarp.training import Rates, TrainSettings
from netwarp.training.checkpoint import (
    Checkpoint,
    RunFolder,
    difference,
    fingerprint,
    read_checkpoint,
    restore,
    trained_tensors,
    write_checkpoint,
)
from netwarp.training.logs import Best
from training.toy import clips, files_in, same_weights, small_model, weights_of


def made(step: int = 7, best: Best | None = None) -> Checkpoint:
    model = small_model()
    optimiser = torch.optim.Adam([{"params": list(model.parameters()), "name": "all", "lr": 0.1}])
    sum(p.square().sum() for p in model.parameters()).backward()
    optimiser.step()
    return Checkpoint(step, {"training": {"rate": 0.1}}, trained_tensors(model), optimiser.state_dict(), best, 1.5)


@pytest.mark.parametrize("best", [None, Best(5, 61.25, waited=2)])
def test_what_is_written_is_read(tmp_path: Path, best: Best | None):
    ours = made(best=best)
    write_checkpoint(tmp_path / "last.ckpt", ours, [])
    theirs = read_checkpoint(tmp_path / "last.ckpt")
    assert (theirs.step, theirs.fingerprint, theirs.best, theirs.seconds) == (7, ours.fingerprint, best, 1.5)
    assert same_weights(theirs.tensors, ours.tensors)
    optimiser = torch.optim.Adam([{"params": list(small_model().parameters()), "name": "all", "lr": 0.1}])
    optimiser.load_state_dict(theirs.optimiser)
    assert torch.equal(optimiser.state_dict()["state"][0]["exp_avg"], ours.optimiser["state"][0]["exp_avg"])
    assert files_in(tmp_path) == ["last.ckpt"]


def test_frozen_weights_are_not_kept_and_not_touched():
    model, other = small_model(0), small_model(1)
    for one in (model, other):
        one.base.requires_grad_(False)
    before = weights_of(other)
    kept = trained_tensors(model)
    restore(other, kept)
    for name, tensor in weights_of(other).items():
        frozen = name.startswith("base.") and name in dict(model.named_parameters())
        assert (name in kept) == (not frozen)
        assert torch.equal(tensor, before[name] if frozen else model.state_dict()[name])


def test_no_checkpoint_is_none(tmp_path: Path):
    assert read_checkpoint(tmp_path / "last.ckpt") is None


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "last.ckpt"
    write_checkpoint(path, made(), [])
    return path.read_bytes()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_file_that_is_cut_off_is_damaged(tmp_path: Path, whole: bytes, data: st.DataObject):
    path = tmp_path / "last.ckpt"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(WeightsError, match=r"last\.ckpt") as error:
        read_checkpoint(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"PK\x05\x06" + 18 * b"\0", "list", "newer", "code", {"format": 1, "step": 3}]
)
def test_what_is_no_checkpoint_is_said_to_be_none(tmp_path: Path, content: object, monkeypatch):
    path = tmp_path / "last.ckpt"
    if content == "list":
        torch.save([1, 2], path)
    elif content == "newer":
        torch.save({"format": 99}, path)
    elif content == "code":
        torch.save({"format": 1, "step": small_model}, path)
    elif isinstance(content, dict):
        torch.save(content, path)
    else:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match="newer netwarp" if content == "newer" else "no checkpoint of a training"):
        read_checkpoint(path)


def test_the_log_and_the_file_reach_the_disk_before_the_name_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    log = tmp_path / "log.csv"
    log.write_text("rows")
    happened = []
    sync, replace = os.fsync, Path.replace

    def noted_sync(descriptor: int) -> None:
        happened.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        sync(descriptor)

    def noted_replace(self: Path, target: Path) -> Path:
        happened.append(f"renamed to {target}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    write_checkpoint(tmp_path / "last.ckpt", made(), [log])
    assert happened[0] == str(log)
    assert happened[1].startswith(f"{tmp_path}/.last.ckpt.")
    assert happened[2:] == [f"renamed to {tmp_path / 'last.ckpt'}", str(tmp_path)]


BASIS = {
    "model": small_model,
    "settings": TrainSettings(),
    "samples": clips().samples(),
    "unlabelled": (),
    "validation": None,
    "caller": {"base": "netwarp:espnet"},
}


def marks(**changed):
    values = BASIS | changed
    model = values.pop("model")()
    model.base.requires_grad_(False)
    return fingerprint(model, *values.values())


def other_base():
    model = small_model()
    with torch.no_grad():
        model.base.head.weight.view(-1)[3] += 1e-6
    return model


def other_netwarps():
    model = small_model()
    with torch.no_grad():
        model.netwarps[0].w1 += 1
    return model


def test_the_same_is_the_same_whatever_the_weights_that_are_trained():
    assert difference(marks(), marks()) is None
    assert difference(marks(), marks(model=other_netwarps)) is None
    how = TrainSettings(checkpoint_every=7, workers=3, tensorboard=True, accelerator="cpu")
    assert difference(marks(), marks(settings=how)) is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"settings": TrainSettings(steps=7)}, "training.steps was 1000 and is 7"),
        ({"settings": TrainSettings(train_base=("head",))}, 'training.train_base was null and is ["head"]'),
        ({"caller": {"base": "netwarp:streetnet"}}, 'base was "netwarp:espnet" and is "netwarp:streetnet"'),
        ({"samples": clips().samples()[1:]}, "data.clips differ"),
        ({"samples": clips().samples(3)}, "data.clips differ"),
        ({"validation": clips()}, "data.validation clips differ"),
        ({"model": other_base}, "model.frozen weights differ"),
        ({"model": lambda: small_model(layers=("output",))}, 'model.layers was ["encoder"] and is ["output"]'),
        ({"model": lambda: small_model(memory="fused")}, 'model.memory was "previous" and is "fused"'),
    ],
)
def test_what_differs_is_named(changed, said):
    assert difference(marks(), marks(**changed)) == said


def test_every_setting_that_decides_is_in_it():
    ours = marks()["training"]
    assert ours.keys() == TrainSettings().deciding().keys()
    for name in ours:
        changed = copy.deepcopy(marks())
        changed["training"][name] = "something else"
        said = difference(marks(), changed)
        assert said is None if name in ("rate", "rates", "clip_gradient") else name in said
    assert dataclasses.asdict(TrainSettings()).keys() > ours.keys()


def test_a_rate_that_was_too_high_may_be_lowered():
    lower = TrainSettings(rate=1e-5, rates=Rates(netwarps=1e-4), clip_gradient=1.0)
    assert difference(marks(), marks(settings=lower)) is None


@pytest.mark.parametrize("how", ["a bit", "a block", "the end", "gone"])
def test_the_checkpoint_before_does_for_one_that_is_damaged(tmp_path: Path, how: str, caplog):
    folder = RunFolder(tmp_path)
    for step in (6, 7):
        write_checkpoint(folder.last, made(step), [])
    content = bytearray(folder.last.read_bytes())
    if how == "a bit":
        content[len(content) // 3] ^= 0x40
    elif how == "a block":
        content[len(content) // 2 : len(content) // 2 + 512] = bytes(512)
    elif how == "the end":
        del content[-40:]
    folder.last.unlink()
    if how != "gone":
        folder.last.write_bytes(content)
    assert folder.newest().step == 6
    assert "last.ckpt" in caplog.text
    folder.previous.write_bytes(content[: len(content) // 2])
    if how != "gone":
        with pytest.raises(WeightsError, match=r"last\.ckpt"):
            folder.newest()


def test_a_bit_anywhere_is_noticed_or_changes_nothing(tmp_path: Path):
    """torch.load itself compares no checksums."""
    path, ours = tmp_path / "last.ckpt", made()
    write_checkpoint(path, ours, [])
    whole = path.read_bytes()
    for at in np.random.default_rng(0).integers(0, len(whole), 60):
        content = bytearray(whole)
        content[at] ^= 1 << (at % 8)
        path.write_bytes(content)
        try:
            theirs = read_checkpoint(path)
        except WeightsError:
            continue
        assert theirs.step == ours.step
        assert same_weights(theirs.tensors, ours.tensors)


def test_tensors_that_are_missing_or_not_finite_are_not_put_back():
    model = small_model()
    kept = trained_tensors(model)
    name = next(iter(kept))
    for wrong in ({k: v for k, v in kept.items() if k != name}, {**kept, name: torch.full_like(kept[name], torch.nan)}):
        with pytest.raises(WeightsError, match=re.escape(name)):
            restore(small_model(1), wrong)


def test_a_full_disk_is_said_in_the_systems_words_and_without_a_checkpoint_that_is_not_there(tmp_path: Path):
    big = Checkpoint(1, {}, {"a": torch.rand(10**6)}, {}, None, 0.0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A file may not grow beyond 100 kB: the writing ends as it does on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OutputError, match="File too large") as said:
            write_checkpoint(tmp_path / "last.ckpt", big, [])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "still there" not in str(said.value)
    assert files_in(tmp_path) == []


def test_files_of_others_are_not_overwritten(tmp_path: Path):
    (tmp_path / "log.csv").write_text("date,temperature\n2026-01-01,3\n")
    with pytest.raises(OutputError, match=r"log\.csv"):
        RunFolder(tmp_path).check()
    (tmp_path / "log.csv").unlink()
    (tmp_path / "tensorboard").mkdir()
    (tmp_path / "tensorboard" / "events.out.tfevents.1").touch()
    with pytest.raises(OutputError, match="tfevents"):
        RunFolder(tmp_path).check()
