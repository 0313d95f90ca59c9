"""Where results go, a folder here or at an address, and what keeps a second fleet out of it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import posixpath
import secrets
import shutil
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from netwarp.errors import OutputError, told_as
from netwarp.fleet.addresses import absolute, filesystem, is_remote
from netwarp.output_files import Lock, cannot_write, write_file
from netwarp.output_places import prepare_folder
from netwarp.video.images import is_image
from netwarp.video.label_maps import is_ours, refuse_foreign

OWN = ".fleet"
"""Folder in it for what is no result: records, the fleet's state, and work that is not finished."""

STATUS = f"{OWN}/status.json"

NAMES = (OWN, "fleet.json", "fleet.csv")
"""What no result may be called."""

SILENT = 120.0
"""Seconds without a sign of life after which a fleet that writes into a store is taken for dead."""


def record_place(name: str) -> str:
    """Where the record of a video of that name is."""
    return f"{OWN}/records/{name}.json"


class _Store(ABC):
    """A folder of results; names in it have ``/`` between folders."""

    def __init__(self, address: str) -> None:
        self.address = address

    def __str__(self) -> str:
        return self.address

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """What is in a file; None where there is none."""

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Write a whole file."""

    def read_json(self, name: str) -> dict[str, Any] | None:
        """What is in a JSON file; None where there is none, or it is damaged."""
        with contextlib.suppress(ValueError, RecursionError):
            content = json.loads(self.read(name) or b"null")
            return content if isinstance(content, dict) else None
        return None

    def read_each(self, names: Iterable[str]) -> Iterator[dict[str, Any] | None]:
        """:meth:`read_json` of many."""
        with ThreadPoolExecutor(16) as pool:
            yield from pool.map(self.read_json, names)

    def write_json(self, name: str, content: object) -> None:
        """Write a JSON file."""
        self.write(name, json.dumps(content, ensure_ascii=False, indent=1).encode())


class LocalStore(_Store):
    """A folder on this machine, or one that all machines share."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.root = Path(address)

    def prepare(self) -> None:
        """See that files can be written. Raises OutputError."""
        prepare_folder(self.root)
        prepare_folder(self.root / OWN)

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep other fleets out in the block. Raises OutputError where there is one."""
        with Lock(self.root, "writing into"):
            self._sweep()
            try:
                yield
            finally:
                self._sweep()

    def _sweep(self) -> None:
        for left in (self.root / OWN).glob("work-*"):
            shutil.rmtree(left, ignore_errors=True)

    def read(self, name: str) -> bytes | None:
        """See :class:`_Store`."""
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OutputError(f"{self.root / name} cannot be read ({error.strerror}): see to its rights") from error

    def write(self, name: str, content: bytes) -> None:
        """See :class:`_Store`."""
        write_file(self.root / name, content)

    def holds(self, name: str) -> bool:
        """Whether a file is there, or a folder that is not empty."""
        place = self.root / name
        return any(place.iterdir()) if place.is_dir() else place.exists()

    def check(self, name: str) -> None:
        """See that a folder of results of that name would replace nothing of others."""
        refuse_foreign(self.root / name, "**/*")

    @contextlib.contextmanager
    def workspace(self) -> Iterator[Path]:
        """A folder, for the block, for work until it is delivered."""
        place = self.root / OWN / f"work-{secrets.token_hex(4)}"  # where what is finished is only renamed
        try:
            place.mkdir(parents=True)
        except OSError as error:
            raise cannot_write(place, error) from error
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def deliver(self, finished: Path, name: str) -> None:
        """Bring what is finished to its place. In its folders, label maps of an earlier run without a successor go."""
        target = self.root / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if finished.is_file() or not target.exists():
                finished.replace(target)
                return
            new = {path.relative_to(finished) for path in finished.rglob("*") if path.is_file()}
            for folder in {each.parent for each in new}:  # and no others: they may hold results of other videos
                for path in (target / folder).glob("*"):
                    if path.relative_to(target) not in new and is_ours(path):
                        path.unlink()
            for each in new:
                (target / each).parent.mkdir(parents=True, exist_ok=True)
                (finished / each).replace(target / each)
        except OSError as error:
            raise cannot_write(target, error) from error


class RemoteStore(_Store):
    """A folder that fsspec reaches. Stores of objects show a file when it is whole, file servers while it grows."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        with told_as(OutputError, f"{address} cannot be reached", "check the address, and that its library is there"):
            self._files, self._root = filesystem(address, "a store of results")

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def prepare(self) -> None:
        """See :class:`LocalStore`."""
        probe = self._path(f"{OWN}/probe-{secrets.token_hex(4)}")
        with told_as(
            OutputError, f"{self.address} cannot be written to", "check your rights there, or name another OUT"
        ):
            self._files.makedirs(self._path(OWN), exist_ok=True)
            self._files.pipe_file(probe, b"probe")
            self._files.rm_file(probe)

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """See :class:`LocalStore`. A store has no locks: a sign of life stands for one, which two at once may miss."""
        status = self.read_json(STATUS)
        if status and not status.get("ended") and time.time() - float(status.get("updated", 0)) < SILENT:
            raise OutputError(
                f"another fleet ({status.get('by')}) is writing into {self.address}, or was {SILENT:.0f} s ago: "
                "wait for it, or name another OUT"
            )
        yield

    def read(self, name: str) -> bytes | None:
        """See :class:`LocalStore`."""
        with told_as(OutputError, f"{self.address}/{name} cannot be read", "check your rights there"):
            try:
                return bytes(self._files.cat_file(self._path(name)))
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        """See :class:`LocalStore`."""
        path = self._path(name)
        with told_as(OutputError, f"{self.address}/{name} cannot be written", "check your rights there"):
            self._files.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH120 (an address)
            self._files.pipe_file(path, content)

    def holds(self, name: str) -> bool:
        """See :class:`LocalStore`."""
        with told_as(OutputError, f"{self.address}/{name} cannot be read", "check your rights there"):
            return bool(self._files.exists(self._path(name)))

    def check(self, name: str) -> None:
        """See :class:`LocalStore`: a store is the fleet's own."""

    @contextlib.contextmanager
    def workspace(self) -> Iterator[Path]:
        """See :class:`LocalStore`."""
        with tempfile.TemporaryDirectory(prefix="netwarp-fleet-", ignore_cleanup_errors=True) as place:
            yield Path(place)

    def deliver(self, finished: Path, name: str) -> None:
        """See :class:`LocalStore`. Whether all is there, the record says, which is written afterwards."""
        target = self._path(name)
        with told_as(OutputError, f"{self.address}/{name} cannot be written", "check your rights there"):
            if finished.is_file():
                pairs, old = {target: finished}, list[str]()
            else:
                files = [path for path in finished.rglob("*") if path.is_file()]
                pairs = {f"{target}/{path.relative_to(finished).as_posix()}": path for path in files}
                there = itertools.chain.from_iterable(map(self._images_in, set(map(posixpath.dirname, pairs))))
                old = [path for path in there if path not in pairs]
            for path, file in pairs.items():
                self._files.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH120 (an address)
                self._files.put_file(str(file), path)
            for path in old:
                if self._is_ours(path):
                    self._files.rm_file(path)

    def _images_in(self, folder: str) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            files = [each["name"] for each in self._files.ls(folder, detail=True) if each["type"] == "file"]
            return [f"{folder}/{posixpath.basename(name)}" for name in files if is_image(Path(name))]
        return []

    def _is_ours(self, path: str) -> bool:
        with tempfile.TemporaryDirectory(prefix="netwarp-fleet-") as folder:
            self._files.get_file(path, copy := f"{folder}/{posixpath.basename(path)}")
            return is_ours(Path(copy))


Store = LocalStore | RemoteStore


def open_store(address: str) -> Store:
    """The store at a path or an address."""
    address = absolute(address)
    return RemoteStore(address) if is_remote(address) else LocalStore(address)
