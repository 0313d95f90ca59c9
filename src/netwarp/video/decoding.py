"""Decode video: yield the frames without fault, note the faults, and turn frames into upright RGB."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import SideData, SideDataContainer
from av.video.stream import VideoStream

from netwarp.video.source import AfterDamage, Image

__all__ = ["OPEN_OPTIONS", "Damage", "decoded_frames", "upright_rgb", "video_stream"]

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


def decoded_frames(
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
