"""Decode video: yield the frames without fault, with their times and sound, and note the faults."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from netwarp.errors import InputError
from netwarp.video.declared import declared_length
from netwarp.video.packets import Awaited, packets_of, unmarked
from netwarp.video.rgb import lies_across, upright_rgb
from netwarp.video.sound import SoundReader
from netwarp.video.source import MOST_PIXELS, AfterDamage, Frame, FrameSource

_LOG = logging.getLogger("netwarp")

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
    packets: int | None = 0  # of pictures, also those that gave none; None where not all were asked for
    hidden: int = 0  # of these, those that an edit list leaves out
    seen: int = 0  # frames that were decoded, also those that were not asked for
    left_out: int = 0  # of these, before the first that was asked for
    first: int | None = None  # its time stamp
    interlaced: bool = False  # whether one may have been coded as two
    parts_are_whole: Callable[[], bool] = bool  # whether this is joined of whole files, whose packets need not go on

    def begin(self, first: int | None) -> None:
        """Begin with the frame that was decoded last, and forget what came before it."""
        self.reason, self.after, self.resumed, self.left_out, self.first = None, 0, False, self.seen - 1, first


_RAW = frozenset(
    {"h264", "hevc", "vvc", "evc", "m4v", "mpegvideo", "mjpeg", "obu", "av1", "vc1", "cavsvideo", "dirac", "h261",
     "h263", "dnxhd", "avs2", "avs3"}
)  # fmt: skip
"""Formats that are coded pictures and nothing else: FFmpeg shows them at 25 a second."""


def is_raw(container: InputContainer) -> bool:
    """Whether a file says nothing of when its frames are shown, but for a rate in the pictures' own headers."""
    return container.format.name in _RAW


def video_stream(container: InputContainer) -> VideoStream | None:
    """Choose the stream to decode: one that the file marks as its default, and a moving one rather than a still one.

    The cover picture of a piece of music is none.
    """
    disposition = av.stream.Disposition
    streams = [s for s in container.streams.video if not s.disposition & disposition.attached_pic]
    return max(streams, key=lambda s: (bool(s.disposition & disposition.default), s.frames != 1), default=None)


_MULTILAYER = 1 << 21  # AV_DISPOSITION_MULTILAYER


def left_out(container: InputContainer, stream: VideoStream) -> str | None:
    """Say in a few words which moving pictures of a file are not read beside a stream; None where there are none."""
    attached = av.stream.Disposition.attached_pic
    moving = [s for s in container.streams.video if s.frames != 1 and not s.disposition & attached]
    if stream.disposition & _MULTILAYER:
        return "of its views (stereo) the first is read"
    if len(moving) > 1:
        return f"of its {len(moving)} video streams the one of number {stream.index} is read"
    return None


def check_pixels(stream: VideoStream, what: object) -> None:
    """Refuse a video of frames beyond :data:`MOST_PIXELS`, now and where they grow while it is decoded."""
    if stream.width * stream.height > MOST_PIXELS:
        raise InputError(f"{what} has frames of {stream.width}×{stream.height}, which is too large: scale it down")
    stream.codec_context.options = {**stream.codec_context.options, "max_pixels": str(MOST_PIXELS)}


def _decoded_frames(
    container: InputContainer, stream: VideoStream, sound: SoundReader, after_damage: AfterDamage, damage: Damage
) -> Iterator[av.VideoFrame]:
    """Yield the frames that were decoded without fault, in presentation order, and collect the sound between them.

    Faults before the first frame are no damage: a recording that starts between two key frames has them.
    """
    awaited = Awaited(container, stream)
    stream.thread_type = "FRAME" if stream.width * stream.height >= _FRAME_THREADS_FROM else "SLICE"
    packets = packets_of(container, stream, *sound.streams)
    count, waiting, begun, dubious, last_pts = 0, False, False, False, None
    failed: tuple[int, str] = 0, ""  # bytes of a key picture before the first that came, and why it did not
    largest = 0

    def note(reason: str) -> None:
        if damage.reason is None:
            damage.reason, damage.after = reason, count - damage.left_out

    while True:
        frames: list[av.VideoFrame] = []
        ended, packet = False, None
        try:
            packet = next(packets, None)
            if packet is None:
                if lost := awaited.lost(damage.first, count - damage.left_out):
                    note(f"{lost} of its packets gave no picture")
                return
            if packet.stream.index != stream.index:
                sound.add(packet)
                continue
            if damage.packets is not None and packet.size:
                damage.packets += 1
                damage.hidden += packet.is_discard
            if packet.is_corrupt and damage.parts_are_whole():
                packet = unmarked(packet)
            broken = packet.is_corrupt and begun
            begun |= packet.is_keyframe and not packet.is_corrupt
            if broken:
                # Half a packet may decode to half a picture without complaint.
                note("a packet is incomplete")
                ended = after_damage == "stop"
            if not ended:
                awaited.add(packet)
                frames = stream.decode(packet)
                largest = max(largest, packet.size)
                damage.resumed |= dubious and bool(frames)
                dubious |= broken
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
            elif packet is not None and (packet.is_keyframe or (largest == 0 and awaited.begins_whole)):
                failed = max(failed, (packet.size, str(error)))
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
            damage.interlaced |= frame.interlaced_frame
            count += 1
            damage.seen = count
            if count == 1:
                damage.first = frame.pts
                if 2 * failed[0] > largest:  # not only a head without a picture
                    damage.reason, damage.after, damage.resumed = failed[1], 0, True
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
        rate: float | None = None,
        stamped: bool = True,
        matrix: str | None = None,
        skip: float = 0.0,
    ) -> Iterator[Frame]:
        """Set what is known beforehand, and yield the frames from ``skip`` seconds on.

        Without their own times they are evenly spaced, at ``rate`` where that is given.
        """
        own = stream.codec_context.framerate if is_raw(container) else stream.average_rate or stream.guessed_rate
        self.fps = rate or (float(own) if own else float(stream.average_rate or 0)) or None
        self.length = declared_length(container, stream, self.fps)
        sound = SoundReader(container)
        self.sound = sound.tracks
        interval = 1 / (self.fps or 25)
        frames = _decoded_frames(container, stream, sound, after_damage, damage)
        if skip:
            origin = _sought(container, stream, skip) if stamped and not self.live else None
            damage.packets = None if origin is not None else damage.packets
            frames = _from(skip, frames, interval, origin, damage, stamped=stamped)
            self.length = None if self.length is None else max(0, self.length - round(skip / interval))
        start: float | None = None
        held: Frame | None = None
        time = -interval
        for index, frame in enumerate(frames):
            if not index:
                self.pixel_aspect = _pixel_aspect(stream, frame)
            if stamped and (stamp := _stamp(frame)) is not None:
                if start is None:
                    start = stamp - max(0.0, time + interval)
                time = stamp - start
            else:
                time += interval
            shown = float(frame.duration * frame.time_base) if stamped and frame.duration and frame.time_base else None
            current = Frame(index, upright_rgb(frame, matrix), time, duration=shown)
            if self.sound and not self.live:
                # One frame is held back, or what is heard after the last would be lost.
                held, current = current, held
            if current is not None:
                yield replace(current, sound=sound.take(start or 0.0))
            del current
        if held is not None:
            yield replace(held, sound=sound.take(start or 0.0))


def _stamp(frame: av.VideoFrame) -> float | None:
    return float(frame.pts * frame.time_base) if frame.pts is not None and frame.time_base else None


_INDEXED = frozenset({"mov", "matroska"})
"""Formats of which FFmpeg finds the key frame before a time surely."""

_SEEK_FROM = 5.0
"""Seconds from which on it is worth while."""


def _sought(container: InputContainer, stream: VideoStream, skip: float) -> float | None:
    """Go to a key frame before ``skip`` seconds: the time of the video's first frame; None where that is not known."""
    if skip < _SEEK_FROM or not _INDEXED.intersection(container.format.name.split(",")):
        return None
    if stream.start_time is None or stream.time_base is None or getattr(container, "file", None) is not None:
        return None
    origin = float(stream.start_time * stream.time_base)
    try:
        container.seek(math.floor((origin + skip) * av.time_base))
    except av.FFmpegError:  # without an index after all
        container.seek(0)
    return origin


def _from(
    skip: float, frames: Iterator[av.VideoFrame], interval: float, first: float | None, damage: Damage, *, stamped: bool
) -> Iterator[av.VideoFrame]:
    """Leave out the frames of the first seconds, after a ``first`` one that may be known, and damage among them."""
    time, begun = -interval, False
    for frame in frames:
        stamp = _stamp(frame) if stamped else None
        if first is None and stamp is not None:
            first = stamp
        time = time + interval if stamp is None or first is None else stamp - first
        if time >= skip - 1e-6:
            if not begun:
                fault = damage.reason if time >= skip + interval - 1e-6 else None  # what was lost reaches into this
                damage.begin(frame.pts)
                damage.reason, damage.resumed = fault, fault is not None
                begun = True
            yield frame


def _pixel_aspect(stream: VideoStream, frame: av.VideoFrame) -> Fraction:
    """A pixel's width over its height, when the frame is upright."""
    ratio = stream.sample_aspect_ratio or Fraction(1)
    ratio = ratio if ratio > 0 else Fraction(1)
    return 1 / ratio if lies_across(frame) else ratio
