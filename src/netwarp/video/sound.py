"""Carry coded sound from a video to another, as it is."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer

from netwarp.video.clock import Clock
from netwarp.video.source import SoundPacket

STRICTNESS = {"strict": "experimental"}
"""Options of files that sound is put into: FFmpeg calls some pairs of sound and file experimental."""

_LAYOUTS = ("mono", "stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1")
"""What so many channels are taken for where a file, such as AVI, does not say it: MP4 has to."""

_PACKET = 0.02
"""Seconds of sound in a packet that does not say it."""


@dataclass(frozen=True, eq=False)
class SoundTrack:
    """What a file has to know of a track to take its packets.

    ``description`` is a stream of a file that is never written: it outlives the one that is read, which FFmpeg frees
    with all its streams. ``None`` where nothing can take it.
    """

    codec: str
    description: AudioStream | None

    @property
    def kind(self) -> tuple[str, int, str]:
        """Codec, rate and channels: packets of tracks that agree in them may follow each other in a file."""
        found = self.description
        return (self.codec, 0, "") if found is None else (self.codec, found.sample_rate, found.layout.name)


class SoundReader:
    """Collects the packets of a video's sound while its picture is read."""

    def __init__(self, container: InputContainer) -> None:
        self.streams = tuple(s for s in container.streams.audio if s.time_base)
        self.tracks = tuple(map(_track, self.streams))
        self._numbers = {stream.index: number for number, stream in enumerate(self.streams)}
        self._waiting: list[SoundPacket] = []

    def add(self, packet: av.Packet[Any]) -> None:
        """Keep a packet until the next frame."""
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is None or packet.time_base is None or not packet.size or packet.is_corrupt:
            return
        time, duration = float(stamp * packet.time_base), float((packet.duration or 0) * packet.time_base)
        self._waiting.append(SoundPacket(self._numbers[packet.stream.index], bytes(packet), time, duration))

    def take(self, start: float) -> tuple[SoundPacket, ...]:
        """What has come since the last time, in seconds since ``start``; what begins before that is left out."""
        waiting, self._waiting = self._waiting, []
        return tuple(
            SoundPacket(p.track, p.data, max(0.0, p.time - start), p.duration) for p in waiting if p.time > start - 1e-3
        )


def _track(stream: AudioStream) -> SoundTrack:
    codec = "unknown" if stream.codec_context is None else stream.codec_context.name
    try:
        # Matroska takes nearly everything.
        holder = av.open(io.BytesIO(), "w", format="matroska")
        return SoundTrack(codec, holder.add_stream_from_template(stream))
    except (av.FFmpegError, ValueError):
        return SoundTrack(codec, None)


class SoundWriter:
    """Puts packets of sound into a file, before whose first packet it is made.

    ``left_out`` names the codecs of tracks that the file cannot hold, or that end where they are damaged.
    """

    def __init__(self, container: OutputContainer, tracks: Sequence[SoundTrack]) -> None:
        self._container = container
        self._outputs = [self._output(track) for track in tracks]
        self.left_out = [track.codec for track, found in zip(tracks, self._outputs, strict=True) if found is None]

    def _output(self, track: SoundTrack) -> tuple[AudioStream, Clock] | None:
        if track.description is None or not _takes(self._container.format.name, track.description):
            return None
        stream = _added(self._container, track.description)
        base = Fraction(1, stream.sample_rate or 48_000)
        stream.time_base = base
        return stream, Clock(base, _PACKET)

    def write(self, packets: Iterable[SoundPacket]) -> None:
        """Write packets; FFmpeg sorts them in among the pictures."""
        for sound in packets:
            if (output := self._outputs[sound.track]) is None:
                continue
            stream, clock = output
            packet = av.Packet(sound.data)
            packet.time_base = clock.base
            packet.pts = packet.dts = clock.tick(sound.time, sound.duration or _PACKET)
            packet.duration = round(sound.duration / clock.base)
            packet.is_keyframe = True
            packet.stream = stream
            try:
                self._container.mux_one(packet)
            except (av.error.InvalidDataError, av.error.ArgumentError):
                self._outputs[sound.track] = None  # damaged: the picture goes on without it
                self.left_out.append(stream.codec_context.name)


def _added(container: OutputContainer, description: AudioStream) -> AudioStream:
    stream = container.add_stream_from_template(description)
    count = stream.layout.nb_channels
    if stream.layout.name == f"{count} channels" and 0 < count <= len(_LAYOUTS):
        stream.layout = _LAYOUTS[count - 1]
    return stream


def _takes(format_name: str, description: AudioStream) -> bool:
    """Whether a kind of file takes a track, tried on one in memory: its head tells, when it is written."""
    try:
        with av.open(io.BytesIO(), "w", format=format_name, options=STRICTNESS) as trial:
            _added(trial, description)
            trial.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True
