"""Paths as they are given: the home folder for ``~``, and only files where files are read."""

from __future__ import annotations

import stat
from pathlib import Path

from netwarp.errors import ConfigurationError, InputError, NetWarpError

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def expanded(path: str | Path) -> Path:
    """A path with the home folder in place of a leading ``~``."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # a user without an entry, as in a container
        raise ConfigurationError(f"{path}: the home folder is not known here: write the path without ~") from error


def special_kind(path: Path) -> str | None:
    """What a path leads to if that is there and no regular file, in words."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return None
    return next((words for test, words in _KINDS if test(mode)), None)


def check_regular(path: Path, kind: type[NetWarpError] = InputError) -> None:
    """Refuse what is there and no regular file: reading a pipe waits for a writer, perhaps for ever."""
    words = special_kind(path)
    if words is not None:
        raise kind(f"{path} is {words}, not a file: give a file")


def is_text(start: bytes) -> bool:
    """Whether a file that begins so is a text in UTF-8, whose last letter may be cut in two."""
    printable = all(byte >= 32 or byte in b"\t\n\r\f" for byte in start)
    return printable and "\ufffd" not in start.decode("utf-8", errors="replace")[:-1]
