"""The log after an interruption: rows up to the checkpoint, each once, in the CSV file and in TensorBoard's."""

import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netwarp.errors import OutputError
from netwarp.training.logs import Log, StepRecord, ValidationScores, read_log


def record(step: int, scores: ValidationScores | None = None) -> StepRecord:
    return StepRecord(step, 1 / step, None, math.pi * step, 1e-3, 0.1 * step, scores)


RECORDS = [
    record(step, ValidationScores(50.0 + step, 40.0, math.nan) if step % 3 == 0 else None) for step in range(1, 10)
]


def written(folder: Path, records, done: int = 0, board: bool = False) -> bytes:
    log = Log(folder / "log.csv", folder / "tensorboard" if board else None, done)
    for one in records:
        log.write(one)
    log.close()
    return (folder / "log.csv").read_bytes()


def test_what_is_written_is_read_to_the_last_digit(tmp_path: Path):
    written(tmp_path, RECORDS)
    found = read_log(tmp_path / "log.csv", 7)
    assert repr(found) == repr(RECORDS[:7])  # nan equals nan here


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(done=st.integers(0, 9), lost=st.integers(0, 40))
def test_going_on_gives_the_log_of_an_undisturbed_run(tmp_path: Path, done: int, lost: int):
    whole = written(tmp_path, RECORDS)
    path = tmp_path / "log.csv"
    # A process died while it wrote: rows up to the checkpoint are there, others perhaps, the last perhaps in part.
    kept = len(b"".join(whole.splitlines(keepends=True)[: done + 1]))
    path.write_bytes(whole[: max(kept, len(whole) - lost)])
    assert written(tmp_path, RECORDS[done:], done) == whole


def test_the_log_of_an_older_version_is_gone_on_with(tmp_path: Path):
    path = tmp_path / "log.csv"
    path.write_text("step,loss,iou,rate,val_iou\n1,1.0,50.0,0.001,\n2,0.5,60.0,0.001,70.0\n3,0.1,1.0,1.0,\n")
    written(tmp_path, [RECORDS[2]], done=2)
    first, second, third = read_log(path, 9)
    assert repr(first) == repr(StepRecord(1, 1.0, None, 50.0, 0.001, math.nan))
    assert repr(second) == repr(
        StepRecord(2, 0.5, None, 60.0, 0.001, math.nan, ValidationScores(70.0, math.nan, math.nan))
    )
    assert repr(third) == repr(RECORDS[2])


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "step,loss\n", "\0\0\0", "step"])
def test_a_file_of_another_form_has_no_rows(tmp_path: Path, content: str):
    (tmp_path / "log.csv").write_text(content)
    assert read_log(tmp_path / "log.csv", 5) == []


def test_tensorboard_says_each_step_once_after_an_interruption(tmp_path: Path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    written(tmp_path, RECORDS[:7], board=True)
    written(tmp_path, RECORDS[4:], done=4, board=True)
    assert len(list((tmp_path / "tensorboard").glob("events.out.tfevents.*"))) == 1
    events = accumulators.EventAccumulator(str(tmp_path / "tensorboard"), purge_orphaned_data=False).Reload()
    assert events.Tags()["scalars"] == [
        "train/loss",
        "train/iou",
        "train/rate",
        "train/gradient",
        "val/iou",
        "val/tiou",
    ]
    losses = events.Scalars("train/loss")
    assert [event.step for event in losses] == list(range(1, 10))
    assert [event.value for event in losses] == pytest.approx([r.loss for r in RECORDS])
    assert [event.step for event in events.Scalars("val/iou")] == [3, 6, 9]


def test_a_log_that_cannot_be_written_is_said_in_a_line(tmp_path: Path):
    (tmp_path / "log.csv").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*log\.csv"):
        Log(tmp_path / "log.csv", None, 0)
