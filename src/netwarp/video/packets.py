"""Packets of coded pictures, as a file gives them: and how many of them are to give a picture."""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Iterator
from typing import Any

import av
from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream


def packets_of(container: InputContainer, *streams: Stream) -> Iterator[av.Packet[Any]]:
    """Read the packets of some streams, also of a file that gains another meanwhile."""
    with contextlib.suppress(IndexError):  # PyAV's, at the end of such a file
        yield from container.demux(*streams)


def unmarked(packet: av.Packet[Any]) -> av.Packet[Any]:
    """The packet without its mark that it is incomplete."""
    copy = av.Packet(bytes(packet))
    copy.stream, copy.time_base, copy.pts, copy.dts = packet.stream, packet.time_base, packet.pts, packet.dts
    copy.is_keyframe = packet.is_keyframe
    return copy


class Awaited:
    """Pictures that packets announce, where each packet is to give one: else none."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        codec, known = stream.codec_context, _PICTURE_A_PACKET.get(container.format.name)
        self.begins_whole = known is not None  # with a key picture
        self._announces = known is not None and (codec.name in known or codec.codec.intra_only)
        self._times = array("q")

    def add(self, packet: av.Packet[Any]) -> None:
        """Take a packet that goes to the decoder."""
        if self._announces and packet.pts is not None and packet.size and not packet.is_discard:
            self._times.append(packet.pts)

    def lost(self, first: int | None, came: int) -> int:
        """How many did not come, from the time of the first: a recording may begin with what needs that before it."""
        return 0 if first is None else max(0, sum(time >= first for time in self._times) - came)


_PICTURE_A_PACKET = {
    "mov,mp4,m4a,3gp,3g2,mj2": ("h264", "hevc", "mpeg4", "libdav1d", "av1"),
    "matroska,webm": ("h264", "hevc", "libdav1d", "av1"),
    "flv": ("h264", "hevc", "flv"),
    "avi": ("h264",),
}
"""Codecs by container of which each packet holds a whole picture, beside those of key pictures alone.

Those that are left out have packets without one."""
