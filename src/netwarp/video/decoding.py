"""Decode video: yield the frames without fault, note the faults, and turn frames into upright RGB."""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import SideData, SideDataContainer
from av.video.stream import VideoStream

from netwarp.video.source import AfterDamage, Frame, FrameSource, Image

_UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED
_HD_HEIGHT = 720


def upright_rgb(frame: av.VideoFrame, matrix: str | None = None) -> Image:
    """Convert a decoded frame to RGB uint8 ``[H, W, 3]``, turned as its display matrix says.

    Gray is repeated, more than 8 bits are rounded to 8, what is transparent is laid over black. Frames that
    do not name their colour matrix are taken as BT.709 from 720 lines on and BT.601 below, as players do.
    """
    hd = frame.height >= _HD_HEIGHT
    if matrix is None and frame.colorspace == _UNSPECIFIED and not frame.format.is_rgb and hd:
        matrix = "ITU709"
    if any(component.is_alpha for component in frame.format.components):
        image = _over_black(np.asarray(frame.to_ndarray(format="rgba", src_colorspace=matrix), dtype=np.uint8))
    else:
        image = np.asarray(frame.to_ndarray(format="rgb24", src_colorspace=matrix), dtype=np.uint8)
    return np.ascontiguousarray(_turn(image, frame))


def _over_black(rgba: Image) -> Image:
    if (rgba[..., 3] == 255).all():
        return rgba[..., :3]
    product = rgba[..., :3].astype(np.uint16) * rgba[..., 3:]
    return ((product + 127) // 255).astype(np.uint8)


def _turn(image: Image, frame: av.VideoFrame) -> Image:
    """Apply the display matrix (FFmpeg's ``display.h``: x' = a·x + c·y, y' = b·x + d·y) for quarter turns and flips.

    PyAV's ``frame.rotation`` is not used: it does not tell a flip from a half turn.
    """
    # Not frame.side_data, which the frame keeps and which keeps the frame: decoded pictures would pile up, hundreds at
    # a time, until Python's collector comes by.
    matrix = SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]
    if not isinstance(matrix, SideData):
        return image
    a, b, _, c, d = struct.unpack("=9i", bytes(matrix)[:36])[:5]
    if abs(b) > abs(a):
        image, flip_x, flip_y = image.transpose(1, 0, 2), c < 0, b < 0
    else:
        flip_x, flip_y = a < 0, d < 0
    return image[:: -1 if flip_y else 1, :: -1 if flip_x else 1]


OPEN_OPTIONS: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
"""For ``av.open``: open videos whose title is not UTF-8, as PyAV does by itself from version 19 on."""

_FRAME_THREADS_FROM = 2_500_000
"""Pixels a frame from which several frames are decoded at once. Below, one thread takes a few milliseconds, and
the frames just before damage survive: with frame threads those still in flight are lost with it."""


@dataclass
class Damage:
    """Faults while decoding."""

    reason: str | None = None  # the first fault
    after: int = 0  # frames that were yielded before it
    resumed: bool = False  # whether good frames came after it
    timed_out: bool = False  # whether the source stopped answering


def video_stream(container: InputContainer) -> VideoStream | None:
    """Choose the stream to decode: the first video that is not the cover picture of a piece of music."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    return None


def _decoded_frames(
    container: InputContainer, stream: VideoStream, after_damage: AfterDamage, damage: Damage
) -> Iterator[av.VideoFrame]:
    """Yield the frames that were decoded without fault, in presentation order.

    Faults before the first frame are no damage: a recording that starts between two key frames has them.
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
    """Fetch the good frames that the decoder still holds back for ordering."""
    try:
        return stream.codec_context.decode(None)
    except (av.FFmpegError, ValueError):
        return []


class DecodedSource(FrameSource):
    """A source that PyAV decodes; its first frame is read when it is opened, and tells its size."""

    _container: InputContainer | None = None

    def _begin(self, frames: Generator[Frame]) -> Generator[Frame]:
        """Read the first frame; the others stay in ``frames``."""
        try:
            self._first: Frame | None = next(frames)
        except BaseException:
            self.close()
            raise
        height, width = self._first.image.shape[:2]
        self.size = (height, width)
        return frames

    def _all(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        first, self._first = self._first, None
        if first is not None:
            yield first
            del first  # or it would stay in memory as long as the others are read
        yield from frames

    def _decode(
        self,
        container: InputContainer,
        stream: VideoStream,
        damage: Damage,
        after_damage: AfterDamage = "resume",
        *,
        stamped: bool = True,
        matrix: str | None = None,
    ) -> Iterator[Frame]:
        """Set ``fps`` and ``length``, and yield the frames; without their own times, evenly spaced."""
        self.fps = float(stream.average_rate) if stream.average_rate else None
        self.length = _declared_length(container, stream)
        start: float | None = None
        interval = 1 / (self.fps or 25)
        time = -interval
        for index, frame in enumerate(_decoded_frames(container, stream, after_damage, damage)):
            if stamped and frame.pts is not None and frame.time_base:
                stamp = float(frame.pts * frame.time_base)
                if start is None:
                    start = stamp - max(0.0, time + interval)
                time = stamp - start
            else:
                time += interval
            yield Frame(index=index, image=upright_rgb(frame, matrix), time=time)


def _declared_length(container: InputContainer, stream: VideoStream) -> int | None:
    """Count frames as a container declares, or by its duration times its rate; ``None`` where it has neither."""
    if stream.frames > 1:
        return int(stream.frames)
    seconds = _seconds(container, stream)
    if seconds and stream.average_rate:
        return max(1, round(seconds * float(stream.average_rate)))
    return None


def _seconds(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    tagged = tagged_duration(stream)
    if tagged is not None:
        return tagged
    return container.duration / av.time_base if container.duration else None


def tagged_duration(stream: VideoStream) -> float | None:
    """Matroska's DURATION statistics of one track, ``00:00:02.400000000``."""
    try:
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    except (KeyError, ValueError):
        return None
