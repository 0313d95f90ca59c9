"""The log of a training: a CSV file with a row for each step, and the same for TensorBoard.

The CSV file is the truth. When a training is gone on with, its rows past the checkpoint are cut off, since those steps
are done again; and TensorBoard's files, which cannot be cut, are written anew from it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from netwarp.atomic import cannot_write, written_whole
from netwarp.engine.training.records import COLUMNS, Scores, StepRecord
from netwarp.errors import MissingExtraError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["Log", "check_tensorboard", "read_log"]

ADVICE = "free space or name another folder"


def check_tensorboard() -> None:
    """See that TensorBoard can be written.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("tensorboard", "train", "training with tensorboard: true") from error


def read_log(path: Path, steps: int) -> list[StepRecord]:
    """The records of the first steps, as far as a log has them.

    Args:
        path: The CSV file.
        steps: How many.

    Returns:
        In order; none where there is no log, or one of another form.
    """
    return [record for _, record in _rows(path, steps)]


class Log:
    """Writes the log; made at the first step that is done now.

    Args:
        csv: The CSV file; rows of the first ``done`` steps are kept, others are cut off.
        tensorboard: Folder for TensorBoard's files, or None for none.
        done: How many steps were done before.

    Raises:
        OutputError: It cannot be written.
    """

    def __init__(self, csv: Path, tensorboard: Path | None, done: int) -> None:
        self.csv = csv
        try:
            kept = _rows(csv, done)
            with written_whole(csv, ADVICE) as file:
                file.write((",".join(COLUMNS) + "\n" + "".join(line for line, _ in kept)).encode())
            self._file: TextIO = csv.open("a", encoding="utf-8", newline="")
            self._board = None if tensorboard is None else _board(tensorboard, [record for _, record in kept])
        except OSError as error:
            raise cannot_write(csv, error, ADVICE) from error

    def write(self, record: StepRecord) -> None:
        """Add a row; it survives the death of this process.

        Raises:
            OutputError: It cannot be written.
        """
        try:
            self._file.write(_line(record))
            self._file.flush()
            if self._board is not None:
                _add(self._board, record)
        except OSError as error:
            raise cannot_write(self.csv, error, ADVICE) from error

    def close(self) -> None:
        """Finish the files. Every row was flushed when it was written, so that nothing can be lost here."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            if self._board is not None:
                self._board.close()


def _line(record: StepRecord) -> str:
    values = asdict(record)
    scores = values.pop("scores") or {}
    values |= {f"val_{name}": value for name, value in scores.items()}
    return ",".join("" if values.get(name) is None else repr(values[name]) for name in COLUMNS) + "\n"


def _rows(path: Path, steps: int) -> list[tuple[str, StepRecord]]:
    """Lines and what they say, of the first steps; a line that was cut off by the process's death is none."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    if not lines or lines[0] != ",".join(COLUMNS) + "\n":
        return []
    rows = []
    for line in lines[1:]:
        record = _parsed(line)
        if record is None or record.step > steps:
            break
        rows.append((line, record))
    return rows


def _parsed(line: str) -> StepRecord | None:
    cells = line.rstrip("\n").split(",")
    if not line.endswith("\n") or len(cells) != len(COLUMNS):
        return None
    values: dict[str, Any] = {}
    try:
        for name, cell in zip(COLUMNS, cells, strict=True):
            values[name] = float(cell) if cell else None
        values["step"] = int(values["step"])
    except (TypeError, ValueError):
        return None
    scores = [values.pop(name) for name in COLUMNS if name.startswith("val_")]
    return StepRecord(**values, scores=None if scores[0] is None else Scores(*scores))


def _board(folder: Path, done: Sequence[StepRecord]) -> SummaryWriter:
    from torch.utils.tensorboard import SummaryWriter

    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("events.out.tfevents.*"):
        old.unlink()
    board = SummaryWriter(str(folder))
    for record in done:
        _add(board, record)
    return board


def _add(board: SummaryWriter, record: StepRecord) -> None:
    values = {f"train/{k}": v for k, v in asdict(record).items() if k not in ("step", "scores")}
    values |= {} if record.scores is None else {f"val/{k}": v for k, v in asdict(record.scores).items()}
    for name, value in values.items():
        if value is not None and not math.isnan(value):
            board.add_scalar(name, value, record.step)
