"""Write files whole or not at all, by one process at a time, and leave nothing of a process that was killed.

A file is written beside its place, under a random name that did not exist, and moved when it is whole. Both that file
and what others must not write meanwhile are locked; a lock ends with its process.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Self

from netwarp.errors import OutputError
from netwarp.input_files import expanded, special_kind

ADVICE = "free space or choose another place"

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_UNFINISHED = re.compile(r"\..*\.[0-9a-f]{8}\.partial(\.\w+)?", re.DOTALL)
_swept: set[Path] = set()


class UnfinishedFile:
    """A file on its way to ``path``: :attr:`place` until :meth:`finish` or :meth:`discard`.

    A link is followed. What is there and no regular file, such as ``/dev/stdout`` or a named pipe, is never replaced:
    the whole content goes into it at the end.
    """

    def __init__(self, path: Path, ending: str = "") -> None:
        self.path = Path(os.path.realpath(path)) if path.is_symlink() else path
        self.streams = _is_stream(path)
        if self.streams:
            self.path, folder = path, Path(tempfile.gettempdir())
        else:
            folder = self.path.parent
            folder.mkdir(parents=True, exist_ok=True)
            _sweep_once(folder)
        self.place, self.descriptor = _created(folder, self.path.name, ending)

    def finish(self, *, beside: bool = False) -> Path | None:
        """Put the file in its place; with ``beside``, where another is there, at a name beside it, which it returns."""
        if self.streams:
            with self.place.open("rb") as content, _opened(self.path) as target:
                shutil.copyfileobj(content, target)
            self.discard()
            return None
        other = _free_name(self.path) if beside and self.path.exists() else None
        if os.name == "nt":  # moves no open file
            self._close()
        self.place.replace(other or self.path)
        self._close()
        return other

    def discard(self) -> None:
        """Remove it."""
        self._close()
        with contextlib.suppress(OSError):
            self.place.unlink(missing_ok=True)

    def _close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _free_name(path: Path) -> Path:
    numbers = ("" if number == 1 else f"-{number}" for number in itertools.count(1))
    places = (path.with_name(f"{path.stem}.interrupted{number}{path.suffix}") for number in numbers)
    return next(place for place in places if not place.exists())


def _is_stream(path: Path) -> bool:
    """Whether content goes into what is there: a device, a pipe, or this process's own stdout or stderr."""
    return _own_stream(path) is not None or special_kind(path) not in (None, "a folder")


def _own_stream(path: Path) -> int | None:
    for number in (1, 2):
        with contextlib.suppress(OSError):
            if os.path.samestat(path.stat(), os.fstat(number)):
                return number
    return None


def _opened(path: Path) -> BinaryIO:
    number = _own_stream(path)
    if number is None:
        return path.open("wb")
    (sys.stdout, sys.stderr)[number - 1].flush()
    return os.fdopen(os.dup(number), "wb")


def _created(folder: Path, name: str, ending: str) -> tuple[Path, int]:
    """A new, locked file, and its descriptor."""
    while True:
        beside = folder / f".{name[:50]}.{secrets.token_hex(4)}.partial{ending}"
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, 0o666)
        _locked(descriptor)
        with contextlib.suppress(FileNotFoundError):  # swept by another process before it was locked
            if os.path.samestat(os.fstat(descriptor), beside.lstat()):
                return beside, descriptor
        os.close(descriptor)


def _locked(descriptor: int, *, wait: bool = False) -> bool | None:
    """Lock an open file or folder: whether that went well; None where there are no locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:  # some network file systems
        return None
    return True


def _sweep_once(folder: Path) -> None:
    """Remove the unfinished files in a folder that nobody is writing: their processes were killed."""
    if folder in _swept:
        return
    _swept.add(folder)
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _UNFINISHED.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(OSError):
                    _remove_if_free(entry.path)


def _remove_if_free(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | _NO_FOLLOW)
    try:
        if _locked(descriptor):
            os.unlink(path)  # noqa: PTH108 (a text)
    finally:
        os.close(descriptor)


class Lock:
    """Keep other processes out of a folder, or of the place of a file, until :meth:`release`; a context manager.

    A file's lock is another file beside it (``.NAME.lock``), which goes when it is released. With ``wait`` others wait
    for each other, else the second is refused; ``doing`` says in the error what the first is at.
    """

    def __init__(self, path: Path, doing: str, *, wait: bool = False) -> None:
        self._file = None if path.is_dir() else path.with_name(f".{path.name[:50]}.lock")
        while True:
            flags = os.O_RDONLY if self._file is None else os.O_RDWR | os.O_CREAT | _NO_FOLLOW
            try:
                self._descriptor = os.open(self._file or path, flags, 0o666)
            except OSError as error:  # among them a link at the lock's place, which is not followed
                raise cannot_write(path, error) from error
            taken = _locked(self._descriptor, wait=wait)
            if taken is False:
                self._close()
                raise OutputError(f"another process is {doing} {path}: wait for it, or choose another place")
            with contextlib.suppress(FileNotFoundError):  # who had it before took its file away
                if os.path.samestat(os.fstat(self._descriptor), (self._file or path).stat()):
                    return
            self._close()

    def release(self) -> None:
        """Let others in."""
        if self._descriptor >= 0:
            if self._file is not None:
                with contextlib.suppress(OSError):
                    self._file.unlink(missing_ok=True)
            self._close()

    def _close(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


@contextlib.contextmanager
def atomic_write(path: Path, advice: str = ADVICE) -> Iterator[BinaryIO]:
    """Open a file that takes ``path``'s place when the block ends, and vanishes if the block fails.

    Readers of ``path`` see the old file, or none, until then, and several processes may write it at once. Its folder is
    made where needed; the umask gives its permissions. An ``OSError``, also one of the block, becomes an
    ``OutputError`` that ends with ``advice``.
    """
    unfinished: UnfinishedFile | None = None
    try:
        try:
            unfinished = UnfinishedFile(expanded(path))
        except ValueError as error:  # a name that holds a zero
            raise cannot_write(path, error, advice) from error
        with os.fdopen(unfinished.descriptor, "wb", closefd=False) as file:
            yield file
        unfinished.finish()
    except BaseException as error:
        if unfinished is not None:
            unfinished.discard()
        if isinstance(error, OSError):
            raise cannot_write(path, error, advice) from error
        raise


def write_file(path: Path, content: bytes | str, advice: str = ADVICE) -> None:
    """Write a whole file by :func:`atomic_write`; a text as UTF-8."""
    with atomic_write(path, advice) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def set_aside(path: Path) -> Path | None:
    """Rename a damaged file (``NAME.damaged``), so that it is made anew; None where that cannot be done."""
    aside = path.with_name(f"{path.name}.damaged")
    try:
        path.replace(aside)
    except OSError:
        return None
    return aside


def cannot_write(path: Path, error: Exception, advice: str = ADVICE) -> OutputError:
    """Build the error for a file that cannot be written.

    >>> str(cannot_write(Path("a.png"), OSError(28, "No space left on device")))
    'cannot write a.png (No space left on device): free space or choose another place'
    """
    return OutputError(f"cannot write {path} ({reason(error)}): {advice}")


def reason(error: Exception) -> str:
    """Give the cause of a failed write in one line: the system's words where there are any."""
    return str(getattr(error, "strerror", None) or error).split("\n", 1)[0] or type(error).__name__
