"""Checkpoints: all that going on needs, in one file that is whole or not there."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from netwarp.atomic import cannot_write, written_whole
from netwarp.engine.training.records import Best
from netwarp.errors import WeightsError
from netwarp.model import VideoModel

__all__ = ["Checkpoint", "read_checkpoint", "restore", "trained_tensors", "write_checkpoint"]

FORMAT = 1

ADVICE = "the checkpoint before is still there"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A training between two steps.

    Attributes:
        step: How many steps are done.
        fingerprint: Which training it is.
        tensors: Of the model, those that training changes.
        optimiser: The optimiser's ``state_dict``.
        best: The best validation so far, or None.
        seconds: Time that was trained.
    """

    step: int
    fingerprint: dict[str, Any]
    tensors: dict[str, Tensor]
    optimiser: dict[str, Any]
    best: Best | None
    seconds: float


def trained_tensors(model: VideoModel) -> dict[str, Tensor]:
    """Of a model's ``state_dict`` all but the frozen weights."""
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    return {name: tensor for name, tensor in model.state_dict().items() if name not in frozen}


def restore(model: VideoModel, tensors: dict[str, Tensor]) -> None:
    """Put what :func:`trained_tensors` gave back into a model."""
    model.load_state_dict(tensors, strict=False)


def write_checkpoint(path: Path, checkpoint: Checkpoint, logs: Iterable[Path]) -> None:
    """Write a checkpoint in place of the one before. It is on the disk when this returns.

    Args:
        path: The file.
        checkpoint: What to write.
        logs: Files that tell of its steps: they reach the disk before it does.

    Raises:
        OutputError: It cannot be written; the one before is still there.
    """
    content = {
        "format": FORMAT,
        "step": checkpoint.step,
        "fingerprint": checkpoint.fingerprint,
        "tensors": checkpoint.tensors,
        "optimiser": checkpoint.optimiser,
        "best": None if checkpoint.best is None else asdict(checkpoint.best),
        "seconds": checkpoint.seconds,
    }
    try:
        for log in logs:
            _flush(log)
        with written_whole(path, ADVICE) as file:
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
    """Read a checkpoint; runs no code that is in it.

    Returns:
        The checkpoint, on the CPU; None where there is none.

    Raises:
        WeightsError: It is none, is damaged, or was written by a newer version.
    """
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content["format"] > FORMAT:
            raise WeightsError(f"{path} was written by a newer netwarp: update netwarp, or name another folder")
        best = content["best"]
        return Checkpoint(
            step=content["step"],
            fingerprint=content["fingerprint"],
            tensors=content["tensors"],
            optimiser=content["optimiser"],
            best=None if best is None else Best(**best),
            seconds=content["seconds"],
        )
    except (OSError, EOFError, KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise _damaged(path, error) from error
    except (pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> WeightsError:
    why = (str(error).splitlines() or [type(error).__name__])[0]
    return WeightsError(f"{path} is no checkpoint of a training, or damaged ({why[:120]}): move it away to begin anew")
