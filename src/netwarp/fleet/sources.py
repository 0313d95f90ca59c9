"""What there is to do: videos out of files, folders, globs, text lists and addresses, and what each will be called."""

from __future__ import annotations

import enum
import functools
import glob
import hashlib
import itertools
import os
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from netwarp.datasets.video_frames import is_video
from netwarp.errors import InputError, NetWarpError, told_as
from netwarp.fleet.addresses import absolute, filesystem, is_remote, place_in
from netwarp.fleet.store import NAMES, record_place
from netwarp.input_files import special_kind
from netwarp.video.images import is_dead_link, is_image, natural_key

LISTS = (".txt", ".lst", ".list")
"""Endings of text files that name inputs, one a line."""

_MORE_VIDEOS = (".gif", ".flv", ".3gp", ".ogv", ".y4m", ".h264", ".hevc")

_VERSIONS = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "Last-Modified", "updated", "mtime", "created")
"""What stores call that which changes with a file, the surest first."""


@dataclass(frozen=True)
class Video:
    """A video, or images that are one."""

    name: str  # of its results below OUT, without an ending
    address: str  # of the file, or of the images' folder
    size: int | None  # in bytes, where that is known
    version: str  # time, or what a store says in its place (ETag); of images what stands for all of theirs
    images: tuple[str, ...] = ()  # their addresses


@dataclass(frozen=True)
class Listing:
    """What inputs hold."""

    videos: tuple[Video, ...]
    missing: dict[str, str]  # what is not there or cannot be read, and why
    left_out: int  # files in folders that are no videos


class _By(enum.IntEnum):
    """What a file was found by."""

    FOLDER = 0  # that it lies in
    PATTERN = 1
    NAME = 2


@dataclass(frozen=True)
class _Found:
    address: str
    size: int | None
    version: str
    by: _By

    @property
    def named(self) -> bool:
        return self.by is not _By.FOLDER


@dataclass
class _Input:
    """What one text names; ``top`` is the folder that names of results begin below."""

    text: str
    top: str | None = None
    found: Sequence[_Found] = ()
    missing: str | None = None


def list_videos(inputs: Sequence[str], out: str, endings: Sequence[str] = (".mp4",)) -> Listing:
    """Find the videos that texts name; the results of earlier fleets in ``out`` are none.

    Results are called as their inputs are below the folder that all inputs of a kind (local, a store) share. Where two
    would be called the same, their endings are kept; likewise where of two names with one of the results' ``endings``
    one would be a folder around the other.
    """
    with ThreadPoolExecutor(16) as pool:  # a store takes its time for each answer
        read = list(pool.map(_looked_up, itertools.chain.from_iterable(map(_lines, inputs))))
    missing = {each.text: each.missing for each in read if each.missing is not None}
    found: dict[str, _Found] = {}
    for each in itertools.chain.from_iterable(input_.found for input_ in read):
        if each.address not in found or each.by > found[each.address].by:
            found[each.address] = each
    is_mine = _lies_in(absolute(out))
    for address in [a for a, each in found.items() if each.by is not _By.NAME and is_mine(a)]:
        del found[address]
    taken, images = [], defaultdict[str, list[_Found]](list)
    videos_in = {posixpath.dirname(a) for a, each in found.items() if _is_video(a) or (each.named and not _is_image(a))}
    for address, each in found.items():
        folder = posixpath.dirname(address)
        if _is_image(address):
            if each.named or folder not in videos_in:
                images[folder].append(each)
        elif each.named or _is_video(address):
            taken.append(Video("", address, each.size, each.version))
    taken += [_as_one(folder, files) for folder, files in images.items()]
    left_out = len(found) - len(taken) - sum(len(files) - 1 for files in images.values())
    tops = [each.top for each in read if each.top is not None]
    return Listing(tuple(_named(taken, tops, endings)), missing, left_out)


def _lies_in(out: str) -> Callable[[str], bool]:
    """Whether an address is that of a file below a folder, also by a link."""
    if is_remote(out):
        return lambda address: address.startswith(f"{out}/")
    real, folder = functools.cache(os.path.realpath), os.path.realpath(out)
    return lambda address: not is_remote(address) and f"{real(posixpath.dirname(address))}/".startswith(f"{folder}/")


def _lines(text: str) -> Iterable[str]:
    """What an input names: itself, or the lines of a list."""
    if not text.lower().endswith(LISTS) or (not is_remote(text) and Path(absolute(text)).is_dir()):
        return [text]
    with told_as(InputError, f"{text} cannot be read", "give a list in UTF-8, an input a line"):
        try:
            if is_remote(text):
                store, path = filesystem(text)
                content = store.cat_file(path)
            else:
                content = Path(absolute(text)).read_bytes()
        except FileNotFoundError as error:
            raise InputError(f"{text} does not exist: check the list's name") from error
        lines = [line.strip() for line in content.decode("utf-8-sig").splitlines()]
        lines = [line for line in lines if line and not line.startswith("#")]
        if not lines:
            raise InputError(f"{text} names no input: give a list, an input a line")
    folder = absolute(posixpath.dirname(text) or ".")
    return [_beside(folder, line) for line in lines]


def _beside(folder: str, line: str) -> str:
    """A line of a list: a relative path begins at the list, or else in the current folder."""
    if is_remote(line) or line.startswith(("~", "/", "file:")):
        return line
    beside = f"{folder}/{line}"
    return line if not is_remote(folder) and not Path(beside).exists() and Path(line).exists() else beside


def _looked_up(text: str) -> _Input:
    try:
        if not text or "\0" in text:
            return _Input(text, missing="is no name of a file")
        with told_as(InputError, f"{text} cannot be read", "check the address and your rights there"):
            input_ = _in_store(text) if is_remote(text) else _on_this_machine(text)
    except NetWarpError as error:
        return _Input(text, missing=str(error).removeprefix(f"{text} "))
    if input_.missing is None and not input_.found:
        input_.missing = "holds no video"
    return input_


def _on_this_machine(text: str) -> _Input:
    path = Path(absolute(text))
    if path.is_dir():
        return _walked(path, text)
    if path.is_file():
        return _Input(text, str(path.parent), [_stated(path, _By.NAME)])
    if special_kind(path) or is_dead_link(path):
        return _Input(text, missing=f"is {special_kind(path) or 'a link that leads nowhere'}")
    if not glob.has_magic(text):
        return _Input(text, missing="does not exist")
    fixed = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), path.parts))
    found: list[_Found] = []
    for match in sorted(set(_matching(re.sub(r"/\*\*$", "/**/*", path.as_posix()))), key=natural_key):
        if match.is_dir() and "**" not in text:
            found += _walked(match, text).found
        elif match.is_file():
            found.append(_stated(match, _By.PATTERN))
    return _Input(text, str(fixed), found, None if found else "matches no file")


def _walked(folder: Path, text: str) -> _Input:
    found, dead = [], []
    for place, names in _folders(folder):
        paths = sorted((Path(place, name) for name in names if not name.startswith(".")), key=natural_key)
        found += [_stated(path, _By.FOLDER) for path in paths if path.is_file()]
        dead += [path for path in paths if is_dead_link(path)]
    missing = f"holds {len(dead)} links that lead nowhere, such as {dead[0]}" if dead else None
    return _Input(text, str(folder), found, missing)


def _folders(top: Path) -> Iterator[tuple[str, list[str]]]:
    """Folders and the files' names in each: every one once, by its own path or, behind those, by links."""
    seen, waiting = set[str](), [str(top)]
    for start in waiting:
        for place, folders, names in os.walk(start):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            if (real := os.path.realpath(place)) in seen:
                folders.clear()
                continue
            seen.add(real)
            waiting += [path for name in folders if os.path.islink(path := f"{place}/{name}")]  # noqa: PTH114
            yield place, names


def _matching(pattern: str) -> Iterator[Path]:
    """What a pattern names. Python's own ``**`` follows links that lead back, again and again."""
    before, any_depth, after = pattern.partition("/**/")
    if not any_depth:
        yield from map(Path, glob.iglob(pattern))  # noqa: PTH207 (takes absolute patterns)
        return
    for top in glob.iglob(before or "/"):  # noqa: PTH207
        for place, _ in _folders(Path(top)):
            yield from _matching(f"{glob.escape(place)}/{after}")


def _stated(path: Path, by: _By) -> _Found:
    status = path.stat()
    return _Found(str(path), status.st_size, str(status.st_mtime_ns), by)


def _in_store(text: str) -> _Input:
    store, path = filesystem(text)
    on_web = text.startswith("http")
    # What is before a path there: a scheme, perhaps with a server, of which the paths do not speak.
    before = text.rstrip("/").removesuffix(path.rstrip("/"))

    def told(entries: Mapping[str, Mapping[str, Any]], by: _By) -> list[_Found]:
        found = []
        for path, entry in sorted(entries.items(), key=lambda item: natural_key(Path(item[0]))):
            if entry.get("type") == "directory" or posixpath.basename(path).startswith("."):
                continue
            if not any(entry.get(name) for name in _VERSIONS):
                entry = store.info(path)  # a listing of a web server says nothing but names
            version = next((str(entry[name]) for name in _VERSIONS if entry.get(name)), "")
            found.append(_Found(before + path, entry.get("size"), version, by))
        return found

    if "*" in path or (glob.has_magic(path) and not on_web):
        fixed = "/".join(itertools.takewhile(lambda part: not glob.has_magic(part), text.split("/")))
        entries = store.glob(path, detail=True)
        return _Input(text, fixed, told(entries, _By.PATTERN), None if entries else "matches no file")
    try:
        entry = {"type": "directory"} if on_web and text.endswith("/") else store.info(path)
    except FileNotFoundError:
        return _Input(text, missing="does not exist")
    if entry.get("type") == "directory":
        return _Input(text, text.rstrip("/"), told(store.find(path, detail=True), _By.FOLDER))
    return _Input(text, posixpath.dirname(text), told({path: entry}, _By.NAME))


def _is_image(address: str) -> bool:
    return is_image(Path(place_in(address)[1]))


def _is_video(address: str) -> bool:
    path = Path(place_in(address)[1])
    return is_video(path) or path.suffix.lower() in _MORE_VIDEOS


def _as_one(folder: str, files: Sequence[_Found]) -> Video:
    """The images of a folder as a video."""
    files = sorted(files, key=lambda each: natural_key(Path(each.address)))
    digest = hashlib.sha256(repr([(f.address, f.size, f.version) for f in files]).encode()).hexdigest()
    sizes = [f.size for f in files if f.size is not None]
    return Video("", folder, sum(sizes), digest[:16], tuple(f.address for f in files))


def _named(videos: Sequence[Video], tops: Sequence[str], endings: Sequence[str]) -> list[Video]:
    """Give each video a name of its own."""
    shared = defaultdict[str, list[str]](list)
    for top in tops:
        scheme, path = place_in(top)
        shared[scheme].append(str(path))
    roots = {scheme: PurePosixPath(posixpath.commonpath(paths)) for scheme, paths in shared.items()}

    def below(video: Video) -> PurePosixPath:
        scheme, path = place_in(video.address)
        relative = path.relative_to(roots[scheme])
        return relative if relative.name else PurePosixPath(path.name or "images")

    paths = {video: below(video) for video in videos}
    short = Counter(str(path if video.images else path.with_suffix("")) for video, path in paths.items())
    whole = Counter(map(str, paths.values()))
    names: dict[Video, str] = {}
    for video, path in paths.items():
        name = str(path if video.images else path.with_suffix(""))
        if short[name] > 1 or (name != str(path) and whole[name]):
            name = str(path)
        if whole[str(path)] > 1:  # of two stores, or of one page that gives many
            name += _digest(video)
        names[video] = name
    for video in _in_the_way(names, endings):
        names[video] = f"{paths[video]}.images" if video.images else str(paths[video])
    for video in _in_the_way(names, endings):
        names[video] += _digest(video)
    return [replace(video, name=name) for video, name in names.items()]


def _digest(video: Video) -> str:
    return f"-{hashlib.sha256(video.address.encode()).hexdigest()[:8]}"


def _in_the_way(names: Mapping[Video, str], endings: Sequence[str]) -> list[Video]:
    """Videos of whose results, or records, one is what another's is called, or a folder that it lies in."""
    owners = defaultdict[str, set[Video | None]](set, {own: {None} for own in NAMES})
    for video, name in names.items():
        for place in (*(name + ending for ending in endings), record_place(name)):
            owners[place].add(video)
    found = set[Video | None]()
    for place, own in owners.items():
        for other in (place, *map(str, PurePosixPath(place).parents)):
            if (there := owners.get(other)) and len(there | own) > 1:
                found |= there
    return [video for video in names if video in found]
