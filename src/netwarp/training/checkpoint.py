"""Checkpoints: all that going on needs, in one file that is whole or not there."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from netwarp.datasets.clips import Clip, ClipData, Sample
from netwarp.errors import OutputError, WeightsError, reason_of
from netwarp.model import VideoModel
from netwarp.output_files import atomic_write, cannot_write, check_places, prepare_folder
from netwarp.training.logs import Best
from netwarp.training.settings import TrainSettings


class RunFolder:
    """Names of all files that a training writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "log.csv"  # A row for each step
        self.tensorboard = path / "tensorboard"  # the same for TensorBoard: a folder
        self.last = path / "last.ckpt"  # the checkpoint to go on from
        self.best = path / "best.safetensors"  # the model of the best validation so far, for load
        self.model = path / "model.safetensors"  # the result, likewise
        self.result = path / "result.json"  # what is to be said about it, JSON

    def check(self) -> None:
        """See, without writing anything, that the folder can be used."""
        check_places([], masks=self.path)
        if not self.last.exists():
            for file in (self.model, self.best, self.result):
                if file.exists():
                    raise OutputError(
                        f"{file} is there, but no checkpoint ({self.last.name}) that it belongs to: "
                        "it would be overwritten, so name another folder"
                    )

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Make the folder and keep others out while it is in use; where it stays empty, it is taken away again."""
        made = [place for place in (self.path, *self.path.parents) if not place.exists()]
        prepare_folder(self.path)
        try:
            with self._locked():
                # What a process left that was killed while it wrote.
                for name in (self.last.name, self.best.name, self.model.name, self.result.name, self.log.name):
                    for part in self.path.glob(f".{name}.*.partial"):
                        part.unlink(missing_ok=True)
                yield
        finally:
            for place in made:
                with contextlib.suppress(OSError):
                    place.rmdir()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            import fcntl
        except ImportError:  # Windows
            yield
            return
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            try:
                # It ends with the process, however that ends.
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise OutputError(
                    f"another process is training in {self.path}: wait for it, or name another folder"
                ) from error
            except OSError:  # some network file systems have no locks
                pass
            yield
        finally:
            os.close(descriptor)


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


def difference(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str | None:
    """The first thing that two trainings do not have in common, in words; None where they are the same.

    Rates and the clipping of gradients may differ.

    >>> difference({"training": {"steps": 100}}, {"training": {"steps": 200}})
    'training.steps was 100 and is 200'
    """
    before, now = _flat(theirs), _flat(ours)
    changed = sorted(
        name
        for name in before.keys() | now.keys()
        if before.get(name) != now.get(name) and not name.startswith(MAY_CHANGE)
    )
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

ADVICE = "the checkpoint before is still there"


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


def restore(model: VideoModel, tensors: dict[str, Tensor]) -> None:
    """Put what :func:`trained_tensors` gave back into a model."""
    model.load_state_dict(tensors, strict=False)


def write_checkpoint(path: Path, checkpoint: Checkpoint, logs: Iterable[Path]) -> None:
    """Write a checkpoint in place of the one before. It is on the disk when this returns."""
    best = None if checkpoint.best is None else asdict(checkpoint.best)
    content = {"format": FORMAT, **vars(checkpoint), "best": best}
    try:
        for log in logs:
            _flush(log)
        with atomic_write(path, ADVICE) as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        _flush(path.parent)
    except (OSError, RuntimeError) as error:  # torch makes a RuntimeError of a disk that is full
        raise cannot_write(path, error, ADVICE) from error


def _flush(path: Path) -> None:
    """What was written to a file, or renamed in a folder, reaches the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_checkpoint(path: Path) -> Checkpoint | None:
    """Read a checkpoint; runs no code that is in it."""
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content.pop("format") > FORMAT:
            raise WeightsError(f"{path} was written by a newer netwarp: update netwarp, or name another folder")
        best = content.pop("best")
        return Checkpoint(**content, best=None if best is None else Best(**best))
    except (WeightsError, MemoryError):
        raise
    except Exception as error:  # damaged bytes may raise anything
        why = reason_of(error)[:120]
        raise WeightsError(
            f"{path} is no checkpoint of a training, or damaged ({why}): move it away to begin anew"
        ) from error
