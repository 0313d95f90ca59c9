"""Decoding with damage in mind: what was read well is yielded, and what was not is written down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from netwarp.data.frames import AfterDamage

__all__ = ["OPEN_OPTIONS", "Damage", "decoded_frames", "video_stream"]

OPEN_OPTIONS: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
"""For ``av.open``: a title that is not UTF-8 is no reason to refuse a video. From PyAV 19 on it is none by itself."""

_FRAME_THREADS_FROM = 2_500_000
"""Pixels a frame from which several frames are decoded at once. Below, one thread takes a few milliseconds, and
the frames just before damage survive: with frame threads those still in flight are lost with it."""


@dataclass
class Damage:
    """What went wrong while decoding.

    Attributes:
        reason: The first fault; ``None`` while there is none.
        after: Number of frames that were yielded before it.
        resumed: Whether good frames came after it.
        timed_out: Whether the source stopped answering.
    """

    reason: str | None = None
    after: int = 0
    resumed: bool = False
    timed_out: bool = False


def video_stream(container: InputContainer) -> VideoStream | None:
    """The stream to decode: the first video that is not the cover picture of a piece of music."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    return None


def decoded_frames(
    container: InputContainer, stream: VideoStream, after_damage: AfterDamage, damage: Damage
) -> Iterator[av.VideoFrame]:
    """Yield the frames that were decoded without fault, in the order in which they are shown.

    Faults before the first frame are no damage: a recording that starts between two key frames has them.

    Args:
        container: Opened, at its start.
        stream: Its stream to decode.
        after_damage: End at the first fault, or go on at the next key frame.
        damage: Is filled in.
    """
    stream.thread_type = "FRAME" if stream.width * stream.height >= _FRAME_THREADS_FROM else "SLICE"
    packets = container.demux(stream)
    count, waiting, last_pts = 0, False, None

    def note(reason: str) -> None:
        if damage.reason is None:
            damage.reason, damage.after = reason, count

    while True:
        frames: list[av.VideoFrame] = []
        ended = False
        try:
            packet = next(packets, None)
            if packet is None:
                return
            if packet.is_corrupt and count and after_damage == "stop":
                # Half a packet may decode to half a picture without complaint.
                note("a packet is incomplete")
                ended = True
            else:
                frames = packet.decode()
        except av.error.ExitError:
            damage.timed_out = True
            note("no answer")
            return
        except (av.FFmpegError, ValueError) as error:
            if count:
                note(str(error))
                waiting = True
                ended = after_damage == "stop"
            elif isinstance(error, (av.error.EOFError, av.error.OSError)):
                return
        if ended:
            frames = _drain(stream)
        for frame in frames:
            if frame.is_corrupt and count:
                note("a picture is incomplete")
                waiting = True
                if after_damage == "stop" and not ended:
                    return
            behind = last_pts is not None and frame.pts is not None and frame.pts <= last_pts
            if ended and (frame.is_corrupt or behind):
                continue
            if waiting and not ended:
                if not frame.key_frame or frame.is_corrupt:
                    continue
                waiting, damage.resumed = False, True
            count += 1
            last_pts = frame.pts
            yield frame
        if ended:
            return


def _drain(stream: VideoStream) -> list[av.VideoFrame]:
    """The good frames that the decoder still holds back for ordering."""
    try:
        return stream.codec_context.decode(None)
    except (av.FFmpegError, ValueError):
        return []
