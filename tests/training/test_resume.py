"""Killed at any moment and started again, a training ends with the weights and the log that it would have had."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from netwarp.datasets.augment_settings import Augmentation
from netwarp.errors import OutputError
from netwarp.training import Consistency, Interrupted, TrainSettings, train
from netwarp.training.checkpoint import read_checkpoint
from netwarp.training.logs import Log
from training.processes import outcome, started
from training.toy import CLASSES, clips, small_model

# All that could carry something from step to step: dropout, batch norm, Adam, views, early stopping.
SETTINGS = TrainSettings(
    steps=14,
    batch_size=2,
    accumulate=2,
    rate=3e-2,
    class_weights="inverse_log",
    augment=Augmentation(flip=0.5, scale=(0.7, 1.5), crop=(16, 16), brightness=0.2),
    consistency=Consistency(0.5, unlabelled=1),
    validate_every=4,
    patience=9,
    monitor="tiou",
    checkpoint_every=3,
    tensorboard=True,
)


def run(folder: Path, prepare: Callable[[], None] | None = None, watch: Callable | None = None) -> None:
    if prepare is not None:
        prepare()
    data = clips(3, length=4, every=2)
    model = small_model(dropout=0.3, memory="fused")
    train(
        model, data.samples(3), SETTINGS, classes=CLASSES, unlabelled=data.windows(3), validation=clips(2, first=50),
        folder=folder, cache=folder.parent / "flow", watch=watch,
    )  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    run(folder)
    return folder


def same_end(folder: Path, other: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {path.name for path in other.iterdir()}
    for name in ("model.safetensors", "best.safetensors", "log.csv"):
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name
    results = [json.loads((place / "result.json").read_text()) for place in (folder, other)]
    for result in results:
        del result["seconds"]
    assert results[0] == results[1]
    ours, theirs = read_checkpoint(folder / "last.ckpt"), read_checkpoint(other / "last.ckpt")
    assert ours.step == theirs.step == SETTINGS.steps
    for key, state in theirs.optimiser["state"].items():
        assert all(torch.equal(tensor, ours.optimiser["state"][key][name]) for name, tensor in state.items())


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at(count: int, happens: Callable[..., object]) -> Callable[..., object]:
    """What happens the ``count``-th time; other times the function does what it did."""
    left = [count]

    def around(function: Callable[..., object]) -> Callable[..., object]:
        def called(*arguments: object, **named: object) -> object:
            left[0] -= 1
            return (happens if left[0] == 0 else lambda f, *a, **n: f(*a, **n))(function, *arguments, **named)

        return called

    return around


def half_a_checkpoint(save, content, file):
    file.write(b"PK\x03\x04 half of it")
    file.flush()
    die()


def half_a_row(write, log, record):
    log._file.write(f"{record.step},0.12")
    log._file.flush()
    die()


def before_it(*_, **__):
    die()


def after_it(function, *arguments, **named):
    function(*arguments, **named)
    die()


def patched(owner: object, name: str, count: int, happens: Callable[..., object]) -> Callable[[], None]:
    return lambda: setattr(owner, name, at(count, happens)(getattr(owner, name)))


MOMENTS = {
    "in the first step": patched(torch.optim.Adam, "step", 1, before_it),
    "while a row is written, before any checkpoint": patched(Log, "write", 2, half_a_row),
    "while the first checkpoint is written": patched(torch, "save", 1, half_a_checkpoint),
    "between a checkpoint and its name": patched(Path, "replace", 2, before_it),  # the first one is the log's
    "between the weights of a step and its row": patched(torch.optim.Adam, "step", 4, after_it),
    "after a checkpoint has its name": patched(Path, "replace", 3, after_it),
    "while the next one is written": patched(torch, "save", 2, half_a_checkpoint),
    "while a row is written": patched(Log, "write", 2, half_a_row),
    "while the best model gets its name": patched(Path, "replace", 3, before_it),
    "between the best model and its checkpoint": patched(torch, "save", 2, before_it),
    "after the last checkpoint": patched(torch, "save", 3, after_it),
}


def test_killed_again_and_again(tmp_path: Path, undisturbed: Path):
    folder = tmp_path / "run"
    steps = []
    for moment, prepare in MOMENTS.items():
        assert outcome(started(run, folder, prepare)) == -signal.SIGKILL, moment
        begun = read_checkpoint(folder / "last.ckpt")
        steps.append(begun.step if begun else 0)
    assert steps == sorted(steps), "a checkpoint was lost"
    assert steps[0] == 0
    assert len(set(steps)) > 3
    assert outcome(started(run, folder)) == 0
    same_end(folder, undisturbed)


@pytest.mark.parametrize("name", ["model.safetensors", "result.json"])
def test_killed_while_the_result_is_written(tmp_path: Path, undisturbed: Path, name: str):
    def prepare() -> None:
        replace = Path.replace
        Path.replace = lambda self, target: die() if Path(target).name == name else replace(self, target)

    folder = tmp_path / "run"
    assert outcome(started(run, folder, prepare)) == -signal.SIGKILL
    assert not (folder / name).exists()
    run(folder)
    same_end(folder, undisturbed)


def test_killed_whenever_it_happens(tmp_path: Path, undisturbed: Path):
    folder = tmp_path / "run"
    for wait in (0.05, 0.15, 0.3, 0.5):
        process = started(run, folder)
        time.sleep(wait)
        process.kill()
        assert outcome(process) in (0, -signal.SIGKILL)
    run(folder)
    same_end(folder, undisturbed)


def test_tensorboard_has_every_step_once_after_a_kill(tmp_path: Path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = tmp_path / "run"
    assert outcome(started(run, folder, patched(Log, "write", 8, half_a_row))) == -signal.SIGKILL
    run(folder)
    events = accumulators.EventAccumulator(str(folder / "tensorboard"), purge_orphaned_data=False).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == list(range(1, SETTINGS.steps + 1))
    assert [event.step for event in events.Scalars("val/tiou")] == [4, 8, 12, 14]


@pytest.mark.parametrize(
    ("number", "step", "times", "kept"),
    [
        (signal.SIGINT, 4, 1, 5),
        (signal.SIGTERM, 4, 1, 5),
        (signal.SIGINT, 5, 2, 4),  # a second one does not wait for a checkpoint
        (signal.SIGTERM, SETTINGS.steps, 1, None),  # after the last step it changes nothing
    ],
)
def test_a_signal_stops_after_a_step_with_a_checkpoint(tmp_path: Path, undisturbed: Path, number, step, times, kept):
    folder, handlers = tmp_path / "run", [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]

    def stop(record) -> None:
        if record.step == step:
            for _ in range(times):
                os.kill(os.getpid(), number)

    if kept is not None:
        with pytest.raises(Interrupted, match=f"5 of 14.* step {kept}"):
            run(folder, watch=stop)
        assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
        assert not (folder / "model.safetensors").exists()
        assert times > 1 or read_checkpoint(folder / "last.ckpt").step == kept
    run(folder, watch=stop if kept is None else None)
    same_end(folder, undisturbed)


def test_two_processes_do_not_train_in_one_folder(tmp_path: Path, undisturbed: Path):
    folder, refused = tmp_path / "run", []

    def other(record) -> None:
        if record.step == 4:
            refused.append(outcome(started(run_refused, folder)))

    run(folder, watch=other)
    assert refused == [0]
    same_end(folder, undisturbed)


def run_refused(folder: Path) -> None:
    with pytest.raises(OutputError, match="another process"):
        run(folder)


def test_a_disk_that_fills_up_keeps_the_checkpoint_before(tmp_path: Path, undisturbed: Path):
    folder, sync, full = tmp_path / "run", os.fsync, []

    def filling(descriptor: int) -> None:
        if full:
            raise OSError(28, "No space left on device")
        sync(descriptor)

    def fill(record) -> None:
        if record.step == 7:
            full.append(True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", filling)
        with pytest.raises(OutputError, match=r"last\.ckpt .*No space left"):
            run(folder, watch=fill)
    assert read_checkpoint(folder / "last.ckpt").step == 6
    run(folder)
    same_end(folder, undisturbed)


def test_a_frozen_network_that_is_not_run_again(tmp_path: Path):
    """What is replayed instead of computed must not depend on where the training was taken up again."""

    def frozen(folder: Path, stop_at: int = 0) -> bytes:
        def stop(record) -> None:
            if record.step == stop_at:
                os.kill(os.getpid(), signal.SIGINT)

        settings = TrainSettings(steps=9, batch_size=3, rate=1e-2, train_base=False)
        train(small_model(), clips().samples(), settings, classes=CLASSES, folder=folder, watch=stop)
        return (folder / "model.safetensors").read_bytes()

    whole = frozen(tmp_path / "whole")
    for stop_at in (2, 5):
        with pytest.raises(Interrupted):
            frozen(tmp_path / "run", stop_at)
    assert frozen(tmp_path / "run") == whole
    assert (tmp_path / "run" / "log.csv").read_bytes() == (tmp_path / "whole" / "log.csv").read_bytes()
