"""The files that a playlist on disk names: only those beside it, or below, are read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from netwarp.errors import InputError

_LONGEST = 1 << 22
_BEGINNINGS = (b"#EXTM3U", b"ffconcat version")
_URI = re.compile(r"URI=(?:\"([^\"]*)\"|([^\s,\"]+))")
_FILE = re.compile(r"\s*file\s+(.+?)\s*$")


def playlist_files(path: Path) -> tuple[Path, ...]:
    """All files that a playlist names, also by other playlists; none if it is no playlist.

    Refuses those that lie elsewhere: who sends a playlist must not decide what is read here.
    """
    found: dict[Path, None] = {}
    waiting = [path]
    while waiting:
        playlist = waiting.pop()
        for name in _names_in(playlist):
            place = _beside(playlist, name)
            if place not in found:
                found[place] = None
                waiting.append(place)
    return tuple(found)


def _names_in(path: Path) -> Iterator[str]:
    if not path.is_file():
        return
    with path.open("rb") as file:
        head = file.read(64).lstrip(b"\xef\xbb\xbf")
        if not head.startswith(_BEGINNINGS):
            return
        lines = (head + file.read(_LONGEST)).decode("utf-8", errors="replace").splitlines()
        if file.read(1):
            raise InputError(f"{path} is a playlist of more than {_LONGEST >> 20} MiB: give a shorter one")
    for line in (line.strip() for line in lines):
        if head.startswith(b"#EXTM3U"):
            yield from map("".join, _URI.findall(line)) if line.startswith("#") else [line] * bool(line)
        elif named := _FILE.match(line):
            yield _unquoted(named[1])


def _unquoted(text: str) -> str:
    """A name as FFmpeg reads it: quotes hold everything literally, a backslash the next letter."""
    return re.sub(r"'([^']*)'|\\(.)", lambda match: match[1] if match[1] is not None else match[2] or "", text)


def _beside(playlist: Path, name: str) -> Path:
    folder = playlist.parent.resolve()
    place = (folder / name.partition("?")[0]).resolve()
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:", name) or not place.is_relative_to(folder):
        raise InputError(f"{playlist} names {name[:100]!r}, which is not beside it: copy it there, and name it so")
    return place
