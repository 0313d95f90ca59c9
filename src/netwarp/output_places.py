"""See before the work whether results can be written where they are to go, and what they would overwrite."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

from netwarp.errors import OutputError
from netwarp.input_files import special_kind
from netwarp.output_files import reason

VIDEO_ENDINGS = (".mp4", ".m4v", ".mov", ".mkv")
"""Names of video files that :class:`netwarp.video.writer.VideoWriter` writes."""


def prepare_folder(folder: Path) -> None:
    """Make a folder, and write and remove a file in it to see that this can be done."""
    _check_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".netwarp-{secrets.token_hex(4)}.probe"
        probe.touch(exist_ok=False)
        probe.unlink()
    except (OSError, ValueError) as error:
        raise OutputError(f"{folder} cannot be written to ({reason(error)}): choose another folder") from error


def prepare_file(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Make a file's folder and see that the file can be written; ``inputs`` are as for :func:`check_places`."""
    folder = _checked_file(path, inputs)
    if folder is not None:
        prepare_folder(folder)


def check_places(
    inputs: Iterable[Path], *, video: Path | None = None,
    folders: Iterable[Path | None] = (), files: Iterable[Path | None] = (),
) -> None:  # fmt: skip
    """See, without writing anything, whether a video, folders of label maps and other files can be written.

    For use before work that takes long, such as loading a network. ``inputs`` are the files that are read meanwhile,
    and folders of them, in which nothing that is there may be replaced.
    """
    if video is not None:
        check_video_name(video)
    sources = tuple(inputs)
    of_files = (None if each is None else _checked_file(each, sources) for each in (video, *files))
    for folder in (*of_files, *folders):
        if folder is not None:
            _check_folder(folder)


def check_apart(places: Mapping[str, Path | None]) -> None:
    """See that no two results, by the arguments that name them, go to one place."""
    given = [(name, os.path.abspath(place)) for name, place in places.items() if place is not None]  # noqa: PTH100
    for (_, one), (name, other) in itertools.combinations(given, 2):
        if one == other:
            raise OutputError(f"{places[name]} is named twice: give {{option}} a place of its own", option=name)


def check_video_name(path: Path) -> None:
    """See that a name ends as that of a video does."""
    if path.suffix.lower() not in VIDEO_ENDINGS:
        raise OutputError(f"{path} has no ending of a video: name it {', '.join(VIDEO_ENDINGS)}")


def _checked_file(path: Path, inputs: Iterable[Path]) -> Path | None:
    """The folder that a file will be written into; None for what is written to as it is, such as a pipe."""
    kind = special_kind(path)
    if kind == "a folder":
        raise OutputError(f"{path} is a folder: name a file in it")
    if path.is_block_device() or path.is_socket():
        raise OutputError(f"{path} is {kind}: name a file")
    for source in inputs:
        with contextlib.suppress(OSError, ValueError):  # one of the two does not exist
            if path.samefile(source):
                raise OutputError(f"{path} is the input itself, which would be overwritten: choose another name")
            if source.is_dir() and path.resolve(strict=True).is_relative_to(source.resolve()):
                raise OutputError(f"{path} is in {source}, which is read, and would be overwritten: name another file")
    if kind is None:
        return Path(os.path.realpath(path)).parent if path.is_symlink() else path.parent
    if not os.access(path, os.W_OK):
        raise OutputError(f"{path} cannot be written to (no permission): choose another place")
    return None


def _check_folder(folder: Path) -> None:
    """See whether files can be written into a folder, or the folder be made."""
    for place in (folder, *folder.parents):
        try:
            if not place.exists():
                continue
            if not place.is_dir():
                what = "is a file, not a folder" if place == folder else f"lies below the file {place}"
                raise OutputError(f"{folder} {what}: choose another place")
        except (OSError, ValueError) as error:
            raise OutputError(f"{folder} cannot be written to ({reason(error)}): choose another folder") from error
        if not os.access(place, os.W_OK | os.X_OK):
            where = "" if place == folder else f" in {place}"
            raise OutputError(f"{folder} cannot be written to (no permission{where}): choose another place")
        return
