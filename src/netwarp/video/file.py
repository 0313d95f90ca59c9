"""Read frames from a video file, and say which were lost to damage."""

from __future__ import annotations

import functools
import logging
import stat
from collections.abc import Generator, Iterator
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from netwarp.errors import InputError, few
from netwarp.input_files import is_text
from netwarp.video.container_check import is_cut_off, is_damaged_inside, lacks_index, opened
from netwarp.video.declared import declared_end
from netwarp.video.decoding import OPEN_OPTIONS, Damage, DecodedSource, check_pixels, is_raw, left_out, video_stream
from netwarp.video.pipe import Pipe, is_pipe
from netwarp.video.playlist import playlist_files
from netwarp.video.source import AfterDamage, Frame
from netwarp.video.transport import times_in_transport

_LOG = logging.getLogger("netwarp")

_TEXT_FORMATS = frozenset({"tty", "bin", "xbin", "adf", "idf"})
_INDEXED = frozenset({"avi", "mov"})
"""Formats whose index has an entry for each packet, but for those that an edit list leaves out."""
_PLAYLISTS = {"protocol_whitelist": "file,crypto,data", "live_start_index": "0", "m3u8_hold_counters": "3"}
"""They name files alone, are read from the first of these, and end where they grow no more."""
_WRAP = 2**33
"""Where the times of a transport stream begin again."""
_LEADING = 2 * 90_000
"""So many of its ticks may a picture be shown before one that precedes it in the stream."""
_LOST = "frames were lost, reading went on behind them"


class VideoFile(DecodedSource):
    """A video file, decoded frame by frame, or a pipe, which is read once and forward only.

    Damage is known from the decoder, from the container's structure (``netwarp.video.container_check``) and, for
    files that do not say their length otherwise, from a picture that ends long before its declared end; ``loss`` then
    says how much is missing. A fault that shows in none of them goes unnoticed.

    ``fps`` is the rate of raw streams, which have no times of their own; frames before ``start`` seconds are left out.
    """

    def __init__(
        self,
        path: Path,
        *,
        after_damage: AfterDamage = "resume",
        matrix: str | None = None,
        fps: float | None = None,
        start: float = 0.0,
    ) -> None:
        self.description = str(path)
        self._path = path
        self._after_damage: AfterDamage = after_damage
        self._matrix, self._fps, self.begins = matrix, fps, start
        _check_readable(path)
        self._pipe = Pipe(path) if is_pipe(path) else None
        self.paths = () if self._pipe else (path, *playlist_files(path))
        self._frames: Iterator[Frame] | None = self._begin(self._read())
        if self._left_out:
            _LOG.info("%s: %s", path, self._left_out)

    def stop(self) -> None:
        """Let another thread that waits for a pipe find its end."""
        if self._pipe is not None:
            self._pipe.stop()

    def close(self) -> None:
        """Close the file."""
        if self._container is not None:
            self._container.close()
            self._container = None
            if self._pipe is not None:
                self._pipe.close()

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames; a second pass starts from the first again, but for pipes."""
        frames, self._frames = self._frames, None
        if frames is None and self._pipe is not None:
            raise InputError(f"{self._path} is a pipe, which can be read only once: store what it gives in a file")
        yield from self._all(frames or self._read())

    def _read(self) -> Generator[Frame]:
        self.close()
        self.loss = None
        container, stream = _open(self._path, self._pipe)
        self._container = container
        self.timed, self._left_out = not is_raw(container), left_out(container, stream)
        kind = container.format.name.partition(",")[0]
        self._declared = stream.frames if kind == "avi" else 0
        self._part = stream.id if container.format.name == "mpegts" else None
        damage = Damage(parts_are_whole=functools.cache(self._parts_are_whole))
        count, end = 0, 0.0
        try:
            # AVI stores no presentation times: FFmpeg makes them up, wrongly where frames are stored in another order.
            stamped = self.timed and (container.format.name != "avi" or not stream.codec_context.has_b_frames)
            for frame in self._decode(
                container, stream, damage, self._after_damage,
                rate=None if self.timed else self._fps, stamped=stamped, matrix=self._matrix, skip=self.begins,
            ):  # fmt: skip
                count, end = frame.index + 1, max(end, frame.time + (frame.duration or 1 / (self.fps or 25)))
                if damage.resumed and damage.reason is not None:  # whoever reads no further knows of it too
                    self.loss = f"{self._path.name} is damaged after frame {damage.after}: some {_LOST}"
                yield frame
            if not count:
                raise InputError(self._why_none(damage, stream))
            self._indexed = sum(entry.size > 0 for entry in stream.index_entries) if kind in _INDEXED else 0
            self.loss = self._describe_loss(damage, count, end, declared_end(container, stream, self._path))
            left = max(0, stream.frames - len(stream.index_entries)) if kind == "mov" and self._indexed else 0
            if (hidden := left + damage.hidden) and not self.loss:
                _LOG.info("%s: its edit list leaves out %d frames", self._path, hidden)
        finally:
            if self._container is container:
                self.close()

    def _parts_are_whole(self) -> bool:
        """Whether this is a playlist of whole files, so that packets which do not go on are where these are joined."""
        parts = self.paths[1:]
        return bool(parts) and not any(is_cut_off(part) or is_damaged_inside(part) for part in parts)

    def _why_none(self, damage: Damage, stream: VideoStream) -> str:
        if self._pipe is not None and not damage.seen:
            return _why_not_piped(self._pipe)
        if self.begins and damage.seen:
            return f"{self._path} has no frame from {self.begins:g} s on: give an earlier start"
        return (
            f"{self._path} holds no frame that can be decoded ({stream.codec_context.name}): "
            "it is damaged, or not a video"
        )

    def _describe_loss(self, damage: Damage, count: int, end: float, declared: float | None) -> str | None:
        if gone := [file.name for file in self.paths[1:] if not file.exists()]:
            return (
                f"{self._path.name} names {len(gone)} files that do not exist ({few(gone)}): their frames are missing"
            )
        verb = "is damaged"
        # A pipe's structure is gone with its bytes.
        cut_off = self._pipe is None and is_cut_off(self._path)
        if damage.reason is None:
            ends_early = declared is not None and self.begins + end < declared - max(0.5, 0.01 * declared)
            if not ends_early and not cut_off:
                inside = self._pipe is None and (
                    is_damaged_inside(self._path, damage.packets) or self._lacks_pictures(damage)
                )
                parts = self.paths[1:] and not damage.parts_are_whole()
                lacks = self._lacks_packets(damage, count, end)
                return self._describe_gap(count) if lacks or inside or parts else None
            verb, damage.after = "is cut off", count
        elif not damage.resumed and cut_off:
            verb = "is cut off"
        lost = self.length - count if self.length is not None and self.length > count else None
        of = f" of about {self.length}" if lost is not None else ""
        place = f"{self._path.name} {verb} after frame {damage.after if damage.resumed else count}{of}"
        if damage.resumed:
            return f"{place}: {f'about {lost} {_LOST}' if lost else f'some {_LOST}'}"
        plural = "frame was" if lost == 1 else "frames were"
        behind = f"{lost} {plural} lost" if lost is not None else "what followed is lost"
        return f"{place} ({end:.1f} s): {behind}"

    def _lacks_packets(self, damage: Damage, count: int, end: float) -> bool:
        """Whether the index names more packets than came, or an AVI without one says so of its frames."""
        if damage.packets is None or self._indexed:
            return damage.packets is not None and damage.packets < self._indexed
        return not self.begins and max(count, end * (self.fps or 0)) < 0.9 * self._declared

    def _lacks_pictures(self, damage: Damage) -> bool:
        """Whether a transport stream has more packets with pictures, from the first that came on, than came."""
        if self._part is None or damage.first is None or damage.interlaced:
            return False
        # A picture may come in several packets, of one time. Those that are shown before the first need what precedes.
        times, first = list(dict.fromkeys(times_in_transport(self._path, self._part))), damage.first % _WRAP
        if first not in times:
            later = sum((time - first) % _WRAP < _WRAP // 2 for time in times)
        else:
            later = sum((first - time) % _WRAP not in range(1, _LEADING) for time in times[times.index(first) :])
        return later > damage.seen - damage.left_out

    def _describe_gap(self, count: int) -> str:
        lost = self.length - count if self.length is not None and self.length > count else "some"
        return f"{self._path.name} is damaged inside: {lost} of its frames could not be read"


def _check_readable(path: Path) -> None:
    try:
        status = path.stat()
        if stat.S_ISREG(status.st_mode):
            if not status.st_size:
                raise InputError(f"{path} is empty (0 bytes): copy or record it again")
            with path.open("rb") as file:
                file.read(1)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: check the path") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def _open(path: Path, pipe: Pipe | None) -> tuple[InputContainer, VideoStream]:
    try:
        # "file:" keeps a name such as "a:b.mp4" from being taken for a protocol; nor is what a file names an address.
        # A name that is no text, as of a file from another system, is opened for FFmpeg.
        name = f"file:{path}" if _is_text_name(path) else path.open("rb")
        container = av.open(pipe or name, mode="r", options=dict(_PLAYLISTS), **OPEN_OPTIONS)
    except (av.FFmpegError, ValueError, OSError) as error:
        if pipe is not None:
            pipe.close()
            if pipe.interrupt is not None:
                raise pipe.interrupt from None
            raise InputError(_why_not_piped(pipe)) from error
        raise InputError(_why_not_opened(path, error)) from error
    try:
        stream = video_stream(container)
        if container.format.name in _TEXT_FORMATS:
            raise InputError(f"{path} is not a video: its content is text")
        if stream is None:
            # A picture that is left here belongs to a piece of music.
            kinds = sorted({"a cover" if other.type == "video" else other.type for other in container.streams})
            has = f"only {' and '.join(kinds)}" if kinds else "nothing that can be read"
            raise InputError(f"{path} holds no video, {has}: give a file with a picture")
        if stream.codec_context is None:
            raise InputError(f"{path} is coded in a way that this FFmpeg cannot decode: convert it to H.264")
        check_pixels(stream, path)
    except BaseException:
        container.close()
        raise
    return container, stream


def _is_text_name(path: Path) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in str(path))


def _why_not_piped(pipe: Pipe) -> str:
    if not pipe.head:
        return f"{pipe.name} gave nothing: is anything writing into this pipe?"
    if pipe.head[4:8] == b"ftyp":
        return (
            f"{pipe.name} pipes an MP4 whose index stands at its end, and a pipe cannot go back: "
            "give the file itself, or Matroska or MPEG-TS"
        )
    return f"{pipe.name} pipes no video that can be read: it is damaged, or of an unknown kind"


def _why_not_opened(path: Path, error: Exception) -> str:
    if lacks_index(path):
        return f"{path} has no index (moov): its recording or copy was not finished, do it again or repair the file"
    with opened(path) as (file, size):
        if size and is_text(file.read(4096)):
            return f"{path} is not a video: its content is text"
    if isinstance(error, av.error.InvalidDataError):
        return f"{path} is not a video that can be read: it is damaged, or of an unknown kind"
    return (
        f"{path} cannot be opened as video ({getattr(error, 'strerror', None) or error}): it is damaged or unfinished"
    )
