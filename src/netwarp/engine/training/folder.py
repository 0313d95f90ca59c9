"""The folder of a training: what lies where, and that nobody else writes there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from netwarp.data.output_path import prepare_folder
from netwarp.engine.places import check_places
from netwarp.errors import OutputError

__all__ = ["RunFolder"]


class RunFolder:
    """Names of all files that a training writes.

    Args:
        path: The folder.

    Attributes:
        log: A row for each step.
        tensorboard: The same for TensorBoard: a folder.
        last: The checkpoint to go on from.
        best: The model of the best validation so far, for :func:`netwarp.load`.
        model: The result, likewise.
        result: What is to be said about it, JSON.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "log.csv"
        self.tensorboard = path / "tensorboard"
        self.last = path / "last.ckpt"
        self.best = path / "best.safetensors"
        self.model = path / "model.safetensors"
        self.result = path / "result.json"

    def check(self) -> None:
        """See, without writing anything, that the folder can be used.

        Raises:
            OutputError: It cannot be written, or holds a result of which nobody knows how it came about.
        """
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
        """Make the folder and keep others out while it is in use; where it stays empty, it is taken away again.

        Raises:
            OutputError: It cannot be made, or another process trains in it.
        """
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
