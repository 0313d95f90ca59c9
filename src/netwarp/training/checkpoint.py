"""Checkpoints: all that going on needs, in one file that is whole or not there."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
from torch import Tensor

from netwarp.datasets.clips import Clip, ClipData, Sample
from netwarp.errors import OutputError, WeightsError, is_out_of_memory, reason_of
from netwarp.input_files import check_regular, expanded
from netwarp.model import VideoModel
from netwarp.output_files import ADVICE as OUTPUT_ADVICE
from netwarp.output_files import Lock, atomic_write, cannot_write
from netwarp.output_places import check_places, prepare_folder
from netwarp.training.logs import Best, is_log
from netwarp.training.settings import TrainSettings
from netwarp.weights import DamagedFileError, check_archive, check_finite, check_fit

log = logging.getLogger("netwarp")


class RunFolder:
    """Names of all files that a training writes."""

    def __init__(self, path: Path) -> None:
        self.path = path = expanded(path)
        self.log = path / "log.csv"  # A row for each step
        self.tensorboard = path / "tensorboard"  # the same for TensorBoard: a folder
        self.last = path / "last.ckpt"  # the checkpoint to go on from
        self.previous = path / PREVIOUS  # the one before, while training, for when that is damaged
        self.best = path / "best.safetensors"  # the model of the best validation so far, for load
        self.model = path / "model.safetensors"  # the result, likewise
        self.result = path / "result.json"  # what is to be said about it, JSON

    def check(self) -> None:
        """See, without writing anything, that the folder can be used."""
        check_places([], folders=[self.path])
        if self.last.exists() or self.previous.exists():
            return
        events = self.tensorboard.glob("events.out.tfevents.*") if not self.log.exists() else ()
        for file in (self.model, self.best, self.result, *events, *([] if is_log(self.log) else [self.log])):
            if file.exists():
                raise OutputError(
                    f"{file} is there, but no checkpoint ({self.last.name}) that it belongs to: "
                    "it would be overwritten, so name another folder"
                )

    def newest(self) -> Checkpoint | None:
        """The last checkpoint; where it is damaged, the one before."""
        damaged: WeightsError | None = None
        for path in (self.last, self.previous):
            try:
                found = read_checkpoint(path)
            except _DamagedCheckpointError as error:
                damaged = damaged or error
                continue
            if found is not None and (damaged is not None or path == self.previous):
                log.warning(
                    "%s is damaged or gone: going on from the checkpoint before, of step %d", self.last, found.step
                )
            if found is not None:
                return found
        if damaged is not None:
            raise damaged
        return None

    def forget_checkpoints(self, *, all_of_them: bool) -> None:
        """Remove the checkpoint before the last, and that too if asked for."""
        for path in (self.previous, self.last) if all_of_them else (self.previous,):
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Make the folder and keep others out while it is in use; where it stays empty, it is taken away again."""
        made = [place for place in (self.path, *self.path.parents) if not place.exists()]
        prepare_folder(self.path)
        try:
            with Lock(self.path, "training in"):
                yield
        finally:
            for place in made:
                with contextlib.suppress(OSError):
                    place.rmdir()


MAY_CHANGE = ("training.rate", "training.rates.", "training.clip_gradient")
"""What a user may lower to get past a loss that is not finite."""

HASHED = ("model.frozen weights", "data.clips", "data.unlabelled clips", "data.validation clips")


def fingerprint(
    model: VideoModel,
    settings: TrainSettings,
    samples: Sequence[Sample],
    unlabelled: Sequence[Sample],
    validation: ClipData | None,
    caller: Mapping[str, Any],
) -> dict[str, Any]:
    """Describe a training that has not begun.

    Weights that are trained are left out, as the checkpoint brings its own; those that are frozen are in.
    """
    frozen = ((name, p) for name, p in model.named_parameters() if not p.requires_grad)
    configuration = model.configuration()
    # What follows from the network; checkpoints of before have none of it.
    del configuration["grids"]
    (configuration["flow_cnn"] or {}).pop("offset", None)
    described = {
        "model": configuration | {"frozen weights": _hash_of_tensors(frozen)},
        "training": settings.deciding(),
        "data": {
            "clips": _hash_of_frames(samples),
            "unlabelled clips": _hash_of_frames(unlabelled) if settings.consistency.unlabelled else None,
            "validation clips": None if validation is None else _hash_of_frames(validation.clips),
        },
        "caller": dict(caller),
    }
    plain: dict[str, Any] = json.loads(json.dumps(described))
    return plain


STEPS = "training.steps"


def difference(theirs: Mapping[str, Any], ours: Mapping[str, Any], done: int | None = None) -> str | None:
    """The first thing that two trainings do not have in common, in words; None where they are the same.

    Rates and the clipping of gradients may differ; and a training whose steps are all ``done`` may get more.

    >>> difference({"training": {"steps": 100}}, {"training": {"steps": 200}})
    'training.steps was 100 and is 200'
    >>> difference({"training": {"steps": 100}}, {"training": {"steps": 200}}, done=100)
    """
    before, now = _flat(theirs), _flat(ours)
    changed = sorted(
        name
        for name in before.keys() | now.keys()
        if before.get(name) != now.get(name) and not name.startswith(MAY_CHANGE)
    )
    if done is not None and changed == [STEPS] and done == before[STEPS] < now[STEPS]:
        return None
    if not changed:
        return None
    name = changed[0].removeprefix("caller.")
    was, is_now = (json.dumps(side.get(changed[0])) for side in (before, now))
    if changed[0] in HASHED or max(len(was), len(is_now)) > 60:
        return f"{name} differ"
    return f"{name} was {was} and is {is_now}"


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _hash_of_frames(clips: Iterable[Sample | Clip]) -> str:
    names = (frame.name for clip in clips for frame in clip.frames)
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def _hash_of_tensors(named: Iterable[tuple[str, Tensor]]) -> str:
    digest = hashlib.sha256()
    for name, tensor in named:
        digest.update(repr((name, str(tensor.dtype), list(tensor.shape))).encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


FORMAT = 1

PREVIOUS = "previous.ckpt"


class _DamagedCheckpointError(WeightsError):
    """A checkpoint in whose place the one before may do."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A training between two steps."""

    step: int  # how many steps are done
    fingerprint: dict[str, Any]  # which training it is
    tensors: dict[str, Tensor]  # of the model, those that training changes
    optimiser: dict[str, Any]  # the optimiser's state_dict
    best: Best | None  # the best validation so far, or None
    seconds: float  # time that was trained


def trained_tensors(model: VideoModel) -> dict[str, Tensor]:
    """Of a model's ``state_dict`` all but the frozen weights."""
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    return {name: tensor for name, tensor in model.state_dict().items() if name not in frozen}


def restore(model: VideoModel, tensors: Mapping[str, Tensor], origin: str | Path = "the checkpoint") -> None:
    """Put what :func:`trained_tensors` gave back into a model: all of it; what is frozen may be there too."""
    expected, known = trained_tensors(model), model.state_dict()
    given = {name: tensor for name, tensor in tensors.items() if name in expected or name not in known}
    check_fit(expected, given, origin)
    check_finite(given, origin)
    model.load_state_dict(given, strict=False)


class _Noting:
    """A file that remembers its error: torch makes an unreadable one of it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.error = file, None
        self.flush = file.flush

    error: OSError | None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise


def write_checkpoint(path: Path, checkpoint: Checkpoint, logs: Iterable[Path]) -> None:
    """Write a checkpoint, and keep the one before as :data:`PREVIOUS`. It is on the disk when this returns."""
    best = None if checkpoint.best is None else asdict(checkpoint.best)
    content = {"format": FORMAT, **vars(checkpoint), "best": best}
    advice = "free space; the checkpoint before is still there" if path.exists() else OUTPUT_ADVICE
    noted: _Noting | None = None
    try:
        for each in logs:
            _flush(each)
        with atomic_write(path, advice) as file:
            noted = _Noting(file)
            torch.save(content, cast(BinaryIO, noted))
            file.flush()
            os.fsync(file.fileno())
            if path.exists():
                _keep(path, path.with_name(PREVIOUS))
        _flush(path.parent)
    except (OSError, RuntimeError) as error:
        raise cannot_write(path, (noted and noted.error) or error, advice) from error


def _keep(path: Path, name: Path) -> None:
    """Give a file another name too, in place of what has it; ``path`` stays."""
    beside = name.with_name(f".{name.name}.{secrets.token_hex(4)}.partial")
    try:
        beside.hardlink_to(path)
    except OSError:  # some file systems have no links
        shutil.copyfile(path, beside)
    os.replace(beside, name)  # noqa: PTH105 (Path.replace is what tests kill the training at)


def _flush(path: Path) -> None:
    """What was written to a file, or renamed in a folder, reaches the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_checkpoint(path: Path) -> Checkpoint | None:
    """Read a checkpoint, whose checksums must be right; runs no code that is in it."""
    if not path.exists():
        return None
    try:
        check_regular(path, WeightsError)
        check_archive(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content.pop("format") > FORMAT:
            raise WeightsError(f"{path} was written by a newer netwarp: update netwarp, or name another folder")
        best = content.pop("best")
        return Checkpoint(**content, best=None if best is None else Best(**best))
    except Exception as error:  # damaged bytes may raise anything
        ours = isinstance(error, WeightsError) and not isinstance(error, DamagedFileError)
        if ours or is_out_of_memory(error):
            raise
        why = reason_of(error)[:120]
        raise _DamagedCheckpointError(
            f"{path} is no checkpoint of a training, or damaged ({why}): move it away to begin anew"
        ) from error
