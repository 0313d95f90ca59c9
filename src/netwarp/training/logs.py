"""The log of a training: a CSV file with a row for each step, and the same for TensorBoard.

The CSV file is the truth. When a training is gone on with, its rows past the checkpoint are cut off, since those steps
are done again; and TensorBoard's files, which cannot be cut, are written anew from it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from tqdm import tqdm

from netwarp.errors import needs_extra
from netwarp.output_files import cannot_write, write_file

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


@dataclass(frozen=True)
class ValidationScores:
    """How well a model does on validation clips, in percent; nan where nothing counts."""

    iou: float  # mean over the classes that occur
    tiou: float  # IoU within 2 pixels of label changes
    tc: float  # temporal consistency of the labelled frames with those before them


@dataclass(frozen=True)
class Best:
    """The best validation so far."""

    step: int  # after how many steps
    score: float  # of what is monitored
    waited: int = 0  # validations since then

    def after(self, step: int, score: float) -> Best:
        """The best when another validation has come; nan is never better."""
        return Best(step, score) if score > self.score else replace(self, waited=self.waited + 1)


@dataclass(frozen=True)
class StepRecord:
    """A step, as the log holds it."""

    step: int  # how many steps are done with it
    loss: float  # what was minimised
    consistency: float | None  # the part of it that is the consistency loss, weighted; None where there is none
    iou: float  # of the step's own batches, in percent, on every fourth row and column: a sign of life, not a measure
    rate: float  # highest learning rate of all parts
    gradient: float  # norm of the gradient over all that is trained, before clipping
    scores: ValidationScores | None = None  # of the validation after the step, if there was one


@dataclass(frozen=True)
class TrainResult:
    """What came out."""

    steps: int  # steps that were done
    records: list[StepRecord] = field(repr=False)  # of each step, those before an interruption included
    stopped_early: bool  # whether validation no longer got better
    kept: int  # after how many steps the model was as it is now: fewer than steps where the best was kept
    best: Best | None  # the best validation, or None
    seconds: float  # time that all of it took, what was done before an interruption included
    beyond_paper: dict[str, Any]  # what differs from the paper's, and how
    before: int = 0  # steps that an earlier call had done

    @property
    def losses(self) -> list[float]:
        return [record.loss for record in self.records]


COLUMNS = (
    *(f.name for f in fields(StepRecord) if f.name != "scores"),
    *(f"val_{f.name}" for f in fields(ValidationScores)),
)
"""Of the CSV log."""

_BEGINNING = "step,loss,"
"""Of the log's first line, in older versions too, which had fewer columns."""


ADVICE = "free space or name another folder"


def check_tensorboard() -> None:
    """See that TensorBoard can be written."""
    with needs_extra("tensorboard", "train", "training with tensorboard: true"):
        import torch.utils.tensorboard  # noqa: F401


def is_log(path: Path) -> bool:
    """Whether a file is such a log, and not another's of that name."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.readline(1000).startswith(_BEGINNING)
    except OSError:
        return False


def read_log(path: Path, steps: int) -> list[StepRecord]:
    """The records of the first steps, as far as a log has them; a line that its process's death cut off is none."""
    if not path.exists():
        return []
    head, *lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True) or [""]
    if not head.startswith(_BEGINNING):
        return []
    records = []
    for line in lines:
        record = _parsed(line, head.rstrip("\n").split(","))
        if record is None or record.step > steps:
            break
        records.append(record)
    return records


class Log:
    """Writes the log; made at the first step that is done now."""

    def __init__(self, csv: Path, tensorboard: Path | None, done: int) -> None:
        self.csv = csv
        try:
            kept = read_log(csv, done)
            write_file(csv, ",".join(COLUMNS) + "\n" + "".join(map(_line, kept)), ADVICE)
            self._file: TextIO = csv.open("a", encoding="utf-8", newline="")
            self._board = None if tensorboard is None else _board(tensorboard, kept)
        except OSError as error:
            raise cannot_write(csv, error, ADVICE) from error

    def write(self, record: StepRecord) -> None:
        """Add a row; it survives the death of this process."""
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


def _parsed(line: str, names: Sequence[str]) -> StepRecord | None:
    """What a row under these names says; nan or None of what is not there."""
    cells = line.rstrip("\n").split(",")
    if not line.endswith("\n") or len(cells) != len(names):
        return None
    there = {name: cell for name, cell in zip(names, cells, strict=True) if cell}
    try:
        step = int(there["step"])
        values = {name: float(there.get(name, "nan")) for name in COLUMNS if name != "step"}
    except (KeyError, ValueError):
        return None
    scores = ValidationScores(*(values.pop(name) for name in COLUMNS if name.startswith("val_")))
    record = StepRecord(step=step, **values, scores=scores if any(name.startswith("val_") for name in there) else None)
    return record if "consistency" in there else replace(record, consistency=None)


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


SMOOTHING = 0.9


@contextlib.contextmanager
def progress_bar(steps: int, done: int, shown: bool) -> Iterator[Callable[[StepRecord], None]]:
    """Show loss and IoU (both averaged over about ten steps), rate, and the latest validation."""
    means: dict[str, float] = {}
    validation = ""
    with tqdm(total=steps, initial=done, unit="step", disable=not shown, dynamic_ncols=True) as bar:

        def advance(record: StepRecord) -> None:
            nonlocal validation
            for name, value in (("loss", record.loss), ("IoU", record.iou)):
                if not math.isnan(value):
                    means[name] = SMOOTHING * means.get(name, value) + (1 - SMOOTHING) * value
            if record.scores is not None:
                validation = f", validation IoU {record.scores.iou:.1f}"
            text = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
            bar.set_postfix_str(f"{text}, rate {record.rate:.1e}{validation}", refresh=False)
            bar.update()

        yield advance
