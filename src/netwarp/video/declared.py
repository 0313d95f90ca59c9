"""How long a video is, as its container says."""

from __future__ import annotations

from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from netwarp.video.container_check import says_its_length

_DECLARES_DURATION = frozenset({"matroska", "webm", "flv"})


def declared_end(container: InputContainer, stream: VideoStream, path: Path) -> float | None:
    """Read when the picture is declared to end, in seconds since its first frame, where nothing else tells a cut.

    A last frame that is shown for long is no cut, but nothing in Matroska says how long it is shown.
    """
    if not _DECLARES_DURATION.intersection(container.format.name.split(",")) or says_its_length(path):
        return None
    if (tagged := _tagged_seconds(stream)) is not None:
        return tagged
    alone = len(container.streams) == 1
    return container.duration / av.time_base if alone and container.duration else None


def declared_length(container: InputContainer, stream: VideoStream, fps: float | None) -> int | None:
    """Count frames as a container declares, or by its duration times its rate; ``None`` where it has neither."""
    if stream.frames > 1:
        return int(stream.frames)
    seconds = _seconds(container, stream)
    return max(1, round(seconds * fps)) if seconds and fps else None


def _seconds(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if (tagged := _tagged_seconds(stream)) is not None:
        return tagged
    return container.duration / av.time_base if container.duration else None


def _tagged_seconds(stream: VideoStream) -> float | None:
    """From the first frame to the DURATION of Matroska's statistics, ``00:00:02.400000000``: when the last one ends."""
    start = float(stream.start_time * stream.time_base) if stream.start_time and stream.time_base else 0.0
    try:
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        return max(0.0, 3600 * int(hours) + 60 * int(minutes) + float(seconds) - start)
    except (KeyError, ValueError):
        return None
