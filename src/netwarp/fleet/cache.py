"""Files at addresses, brought to this machine and kept for the next time, up to a limit."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from netwarp.errors import InputError, NetWarpError, told_as
from netwarp.fleet.addresses import filesystem, is_remote, place_in
from netwarp.fleet.sources import Video
from netwarp.output_files import cannot_write

PAUSES = (1.0, 5.0)
"""Seconds before what could not be fetched is tried again."""


class Cache:
    """A folder that several processes keep videos in; it holds more than ``limit`` bytes only while those are used."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit

    @contextlib.contextmanager
    def fetched(self, video: Video) -> Iterator[str | list[str]]:
        """A video's file on this machine for the block, or its images."""
        if not is_remote(video.address):
            yield list(video.images) or video.address
            return
        key = hashlib.sha256(f"{video.address}\n{video.size}\n{video.version}".encode()).hexdigest()[:20]
        place = self.folder / key
        names = [str(place / place_in(address)[1].name) for address in video.images or (video.address,)]
        with contextlib.ExitStack() as stack:
            while True:
                if not all(map(os.path.exists, names)):
                    _remove(place)  # where somebody took files away
                    self._fetch(video, place)
                with contextlib.suppress(FileNotFoundError):
                    stack.enter_context(_in_use(place))
                    os.utime(place)  # if nobody made room before it was in use
                    break
            self._make_room()
            yield names if video.images else names[0]
        self._make_room()

    def _fetch(self, video: Video, place: Path) -> None:
        unfinished = self.folder / f".{place.name}.{secrets.token_hex(4)}"
        try:
            unfinished.mkdir(parents=True)
            with _in_use(unfinished):
                for address in video.images or (video.address,):
                    file = unfinished / place_in(address)[1].name
                    _fetch_file(address, file, None if video.images else video.size)
                with contextlib.suppress(FileExistsError):  # another process was faster
                    unfinished.rename(place)
        except OSError as error:
            if not place.exists():
                raise cannot_write(place, error) from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _make_room(self) -> None:
        """Remove what was not used for longest and is not in use, until the rest is within the limit."""
        entries = []
        for place in self.folder.iterdir():
            with contextlib.suppress(OSError):
                size = sum(file.stat().st_size for file in place.iterdir())
                entries.append((place.stat().st_mtime, size, place))
        total = sum(size for _, size, _ in entries)
        for _, size, place in sorted(entries):
            if total <= self.limit:
                return
            if _remove(place):
                total -= size


def _remove(place: Path) -> bool:
    """Remove a folder that is not in use: whether that went well. What a killed process leaves has another name."""
    with contextlib.suppress(OSError), _in_use(place, alone=True):
        gone = place if place.name.startswith(".") else place.rename(place.with_name(f".gone-{secrets.token_hex(8)}"))
        shutil.rmtree(gone)
        return True
    return False


def _fetch_file(address: str, place: Path, size: int | None) -> None:
    for pause in (*PAUSES, None):
        try:
            with told_as(InputError, f"{address} cannot be fetched", "check the address and your rights there"):
                files, path = filesystem(address)
                with files.open(path, "rb") as source, place.open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 22)
            if size is not None and place.stat().st_size != size:
                raise InputError(f"{address} broke off after {place.stat().st_size} of {size} bytes: try again")
        except NetWarpError as error:
            if pause is None or isinstance(error.__cause__, (FileNotFoundError, PermissionError, ImportError)):
                raise
            time.sleep(pause)
        else:
            return


@contextlib.contextmanager
def _in_use(place: Path, *, alone: bool = False) -> Iterator[None]:
    """Lock a folder for the block, with others or ``alone``; raises OSError where others use it, or it is gone."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        with contextlib.suppress(ImportError):  # Windows
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)
        if not os.path.samestat(os.fstat(descriptor), place.stat()):
            raise FileNotFoundError(place)  # it was removed, and another fetched, before it was locked
        yield
    finally:
        os.close(descriptor)
