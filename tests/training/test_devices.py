"""Several processes are one with larger batches: same weights, one log, one error. As torchrun would start them."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from netwarp.datasets.augment_settings import Augmentation
from netwarp.datasets.clips import ClipFrame, Sample
from netwarp.errors import InputError, NetWarpError, WeightsError
from netwarp.training import Consistency, Interrupted, TrainSettings, train
from training.processes import outcome, started
from training.toy import CLASSES, clips, files_in, small_model, weights_of, with_labels

WAYS = {
    "pairs": {},
    "summed": {"accumulate": 2, "class_weights": "inverse_log"},
    "consistency": {"consistency": Consistency(0.5, unlabelled=1), "batch_size": 1},
}


def uneven(labels: np.ndarray, name: str) -> np.ndarray:
    """Devices get different numbers of labelled pixels."""
    return np.where((np.arange(32) < 10) & (name[4] in "02"), labels, 255).astype(np.uint8)


def run(folder: Path, devices: int, settings: dict, samples: list[Sample] | None = None, watch=None):
    data = clips(length=4, every=2)
    model = small_model(dropout=0.0)
    # Batch norm that is trained counts each device's batch on its own.
    settings = {"steps": 5, "checkpoint_every": 2, "batch_size": 2, "rate": 1e-2, "train_base": ("head",), **settings}
    settings = {
        "augment": Augmentation(flip=0.5, crop=(16, 24)),
        "accelerator": "cpu",
        "checkpoint_every": 2,
        **settings,
    }
    if devices == 1:
        settings["batch_size"] *= 2
        if "consistency" in settings:
            settings["consistency"] = Consistency(0.5, 2 * settings["consistency"].unlabelled)
    result = train(
        model, with_labels(data.samples(2), uneven) if samples is None else samples,
        TrainSettings(devices=devices, **settings), classes=CLASSES, unlabelled=data.windows(2),
        validation=clips(3, first=50), folder=folder, watch=watch,
    )  # fmt: skip
    return result, weights_of(model)


def one_of_two(work: Callable[[int], None], rank: int, port: int) -> None:
    """What torchrun tells a process."""
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test",
    }  # fmt: skip
    work(rank)


def both(work: Callable[[int], None]) -> list[int | None]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [started(one_of_two, work, rank, port) for rank in range(2)]
    return [outcome(process) for process in processes]


@pytest.mark.parametrize("way", WAYS)
def test_two_are_one_with_twice_the_batch(tmp_path: Path, way: str):
    def work(rank: int) -> None:
        before = dict(os.environ)
        result, weights = run(tmp_path / "two", 2, WAYS[way])
        assert dict(os.environ) == before
        assert not torch.distributed.is_initialized()
        torch.save((result.losses, result.records[-1].scores, weights), tmp_path / f"{rank}.pt")

    assert both(work) == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(2))
    result, weights = run(tmp_path / "one", 1, WAYS[way])
    assert first[0] == second[0] == pytest.approx(result.losses, rel=1e-4)
    assert first[1] == second[1]
    assert first[1].iou == pytest.approx(result.records[-1].scores.iou, abs=0.5)
    for name in weights:
        assert torch.equal(first[2][name], second[2][name]), name
        assert torch.allclose(first[2][name].float(), weights[name].float(), atol=1e-4), name
    assert files_in(tmp_path / "two") == files_in(tmp_path / "one")
    rows = (tmp_path / "two" / "log.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "1", "2", "3", "4", "5"]


def test_an_error_of_one_is_raised_by_both_and_nothing_is_lost(tmp_path: Path):
    def broken() -> np.ndarray:
        raise InputError("clip2/3.png is not an image that can be read")

    samples = list(clips(length=4, every=2).samples(2))
    bad = next(i for i, sample in enumerate(samples) if sample.name == "clip2/3")
    samples[bad] = Sample((samples[bad].frames[0], ClipFrame("clip2/3", broken, samples[bad].frames[1].labels)))

    def work(rank: int) -> None:
        with pytest.raises(NetWarpError) as error:
            run(tmp_path / "run", 2, {"batch_size": 1, "steps": 40, "checkpoint_every": 1}, samples)
        (tmp_path / f"{rank}.txt").write_text(str(error.value))

    assert both(work) == [0, 0]
    assert [(tmp_path / f"{rank}.txt").read_text() for rank in range(2)] == [
        "clip2/3.png is not an image that can be read"
    ] * 2
    assert set(files_in(tmp_path / "run")) <= {"last.ckpt", "log.csv", "previous.ckpt"}


def test_a_loss_that_is_not_finite_names_the_frames_of_both(tmp_path: Path):
    def work(rank: int) -> None:
        weights = tuple([3e38] * CLASSES)
        with pytest.raises(WeightsError) as error:
            run(tmp_path / "run", 2, {"batch_size": 1, "class_weights": weights, "rate": 1e30})
        (tmp_path / f"{rank}.txt").write_text(str(error.value))

    assert both(work) == [0, 0]
    said = {(tmp_path / f"{rank}.txt").read_text() for rank in range(2)}
    assert len(said) == 1
    assert said.pop().count("clip") == 2


def test_a_signal_to_one_stops_both_after_the_same_step(tmp_path: Path):
    def stop(record) -> None:
        if record.step == 2:
            os.kill(os.getpid(), 2)

    def work(rank: int) -> None:
        with pytest.raises(Interrupted) as interrupt:
            run(tmp_path / "run", 2, {"batch_size": 1}, watch=stop)
        (tmp_path / f"{rank}.txt").write_text(str(interrupt.value.step))

    assert both(work) == [0, 0]
    assert [(tmp_path / f"{rank}.txt").read_text() for rank in range(2)] == ["3", "3"]
    resumed = []

    def again(rank: int) -> None:
        run(tmp_path / "run", 2, {"batch_size": 1})

    assert both(again) == [0, 0]
    result, weights = run(tmp_path / "one", 1, {"batch_size": 1})
    resumed = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["tensors"]
    assert all(torch.allclose(resumed[name].float(), weights[name].float(), atol=1e-4) for name in resumed)
    assert result.steps == 5
