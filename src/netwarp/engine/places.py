"""Where results shall go, looked at before any work; without torch, so that the answer comes at once."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from netwarp.data.output_path import VIDEO_ENDINGS, same_file
from netwarp.errors import OutputError

__all__ = ["VIDEO_ENDINGS", "check_places"]


def check_places(
    inputs: Iterable[Path], *, video: Path | None = None, masks: Path | None = None, file: Path | None = None
) -> None:
    """See, without writing anything, whether results can be put where they shall go.

    For use before work that takes long, such as loading a network; :func:`netwarp.engine.render.render` itself tries
    in earnest.

    Args:
        inputs: Files that are read meanwhile (``FrameSource.paths``).
        video: The video file.
        masks: The folder for label maps.
        file: Any other file.

    Raises:
        OutputError: The video has an unknown ending, a file is one of the inputs or a folder, or a place cannot be
            written.
    """
    if video is not None and video.suffix.lower() not in VIDEO_ENDINGS:
        raise OutputError(f"{video} has no ending of a video: name it {', '.join(VIDEO_ENDINGS)}")
    sources = tuple(inputs)
    for each in (video, file):
        if each is not None:
            _check_file(each, sources)
    if masks is not None:
        _check_folder(masks)


def _check_file(path: Path, inputs: tuple[Path, ...]) -> None:
    if any(same_file(path, source) for source in inputs):
        raise OutputError(f"{path} is the input itself, which would be overwritten: choose another name")
    if path.is_dir():
        raise OutputError(f"{path} is a folder: name a file in it")
    _check_folder(path.parent)


def _check_folder(folder: Path) -> None:
    """See whether files can be written into a folder, or the folder be made."""
    for place in (folder, *folder.parents):
        try:
            if not place.exists():
                continue
            if not place.is_dir():
                what = "is a file, not a folder" if place == folder else f"lies below the file {place}"
                raise OutputError(f"{folder} {what}: choose another place")
        except OSError as error:
            raise OutputError(f"{folder} cannot be written to ({error.strerror or error})") from error
        if not os.access(place, os.W_OK | os.X_OK):
            raise OutputError(f"{folder} cannot be written to (no permission in {place}): choose another place")
        return
