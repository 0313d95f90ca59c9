"""Write H.264 video with the source's time stamps, in place only when it is whole."""

from __future__ import annotations

import logging
import math
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import FrameType
from typing import Any, Self

import av
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream

from netwarp.errors import ConfigurationError, OutputError
from netwarp.input_files import expanded, special_kind
from netwarp.output_files import Lock, UnfinishedFile, reason
from netwarp.output_places import check_video_name, prepare_file
from netwarp.video.clock import Clock
from netwarp.video.sound import STRICTNESS, SoundTrack, SoundWriter
from netwarp.video.source import Image, SoundPacket

_LOG = logging.getLogger(__name__)
_FINE = 90_000
_PIECE = 2
"""Seconds of the pieces in which a growing file is written."""
_NOMINAL_RATE = Fraction(25)
_LONGEST_SIDE = 16_384
_AVX512 = 13  # CV_CPU_AVX_512F, for which OpenCV has no name in Python
FASTEST = 1000
"""Frames a second: MP4 says in milliseconds where a video begins and ends, and Matroska all times."""


class VideoWriter:
    """Write frames as H.264 video (yuv420p, BT.709, which every player and browser shows); a context manager.

    The file is written beside and moved into place when the block ends; nobody else may write it meanwhile. Ctrl-C also
    ends it: the file is then finished and playable, but where another was before, that stays, and this one goes beside
    it (``NAME.interrupted.mp4``). Any other exception leaves nothing behind. :attr:`written` says where it is.

    H.264 wants an even height and width: the last row or column of an odd one is repeated. Frames of another size than
    the first are scaled into its size, with black bars. Frames without a time are 1/``fps`` apart; ``quality`` is the
    constant rate factor, 0 (lossless) to 51; ``inputs`` are the files being read, which must not be overwritten;
    ``pixel_aspect`` is the width of a pixel over its height. The tracks of ``sound`` are copied, as far as the file's
    kind takes them, and a warning says which it does not.

    With ``growing`` the file is in its place from the first frame on and plays while it grows, also after an error or a
    process that was killed: it is written in pieces of two seconds.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        fps: float | Fraction | None = None,
        quality: int = 18,
        inputs: Iterable[Path] = (),
        pixel_aspect: Fraction = Fraction(1),
        sound: Sequence[SoundTrack] = (),
        growing: bool = False,
    ) -> None:
        self.path = expanded(path)
        check_video_name(self.path)
        if fps is not None and not 0 < fps <= FASTEST:
            raise ConfigurationError(f"a video holds above 0 and up to {FASTEST} frames a second, not {fps:g}")
        if not 0 <= quality <= 51:
            raise ConfigurationError(f"quality must be from 0 (lossless) to 51 (worst), not {quality}")
        self._rate = Fraction(fps).limit_denominator(1001) if fps else _NOMINAL_RATE
        self._rate = self._rate or Fraction(1, 1000)
        # Holds the source's interval exactly.
        whole = self._rate.numerator * math.ceil(_FINE / self._rate.numerator)
        self._clock = Clock(Fraction(1, whole if whole < 2 * _FINE else _FINE), 1 / float(self._rate))
        self._pixel_aspect, self._tracks, self._growing = pixel_aspect, tuple(sound), growing
        self._sound: SoundWriter | None = None
        self._shown = 0  # how long the last frame is shown, in ticks
        self._options = {"crf": str(quality), "preset": "veryfast", **_same_everywhere()}
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._size: tuple[int, int] | None = None
        self._warned = False
        self.frames = 0
        self.written: Path | None = None
        prepare_file(self.path, inputs)
        self._file: UnfinishedFile | None = None
        self._lock = None if special_kind(self.path) else Lock(self.path, "writing")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or (self.frames and (self._growing or issubclass(kind, KeyboardInterrupt))):
            self.close(interrupted=kind is not None)
        else:
            self._discard()

    def write(
        self,
        image: Image,
        time: float | None = None,
        duration: float | None = None,
        sound: Iterable[SoundPacket] = (),
    ) -> None:
        """Append an RGB uint8 frame ``[H, W, 3]``, ``time`` seconds after the first; after one interval where None.

        It is shown until the next one, the last for ``duration`` seconds. ``sound`` is what comes beside it.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ConfigurationError(f"a frame is RGB uint8 [H, W, 3], not {image.dtype} {list(image.shape)}")
        if self._container is None and self.frames:
            raise OutputError(f"{self.path} takes no more frames: it is closed, or writing failed before")
        with self._output_errors(), _interrupts_later():
            if self._stream is None:
                self._open(image.shape[0], image.shape[1])
            assert self._stream is not None
            assert self._container is not None
            frame = av.VideoFrame.from_ndarray(self._fitted(image), format="rgb24")
            picture = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
            picture.pts, picture.time_base = self._clock.tick(time), self._clock.base
            self._shown = round((duration or 1 / self._rate) / self._clock.base)
            self._container.mux(self._stream.encode(picture))
            if self._sound is not None:
                self._sound.write(sound)
            self.frames += 1

    def close(self, *, interrupted: bool = False) -> None:
        """Finish the file and move it into place; where that fails, nothing is left behind."""
        if self.written is not None and self._container is None:
            return
        if self._container is None:
            self._release()
            why = "writing failed before" if self.frames else "there was no frame to write"
            raise OutputError(f"{self.path} was not written: {why}")
        assert self._file is not None
        with self._output_errors(), _interrupts_later():
            assert self._stream is not None
            self._container.mux(self._held(self._stream.encode(None)))
            self._container.close()
            self._container = None
            if self.written is not None:
                self._release()
            elif not self._file.streams:
                self._finish(self._file, interrupted=interrupted)
        if self.written is None:  # a pipe, whose reader may let us wait: Ctrl-C ends that
            try:
                with self._output_errors():
                    self._finish(self._file, interrupted=False)
            finally:
                self._discard()

    def _finish(self, file: UnfinishedFile, *, interrupted: bool) -> None:
        self.written = file.finish(beside=interrupted) or self.path
        self._release()
        if self._sound is not None and self._sound.left_out:
            _LOG.warning("%s has no sound, or not all: %s files do not take %s; %s.mkv takes nearly everything",
                         self.path, self.path.suffix, ", ".join(self._sound.left_out), self.path.stem)  # fmt: skip

    def _held(self, packets: list[av.Packet[Any]]) -> list[av.Packet[Any]]:
        """Let the file end when the last frame does: of MP4 its packet and the one that is decoded last say that."""
        for packet in packets:
            if packet.pts == self._clock.last or packet is packets[-1]:
                packet.duration = self._shown
        return packets

    def _open(self, height: int, width: int) -> None:
        check_frame_size((height, width), self.path)
        self._size = (height, width)
        options = {} if self.path.suffix.lower() == ".mkv" else {"movflags": "+faststart"}
        if self._growing:
            options = {"movflags": "+frag_keyframe+empty_moov+default_base_moof"} if options else {}
            options["flush_packets"] = "1"
            self._options["g"] = str(max(1, round(_PIECE * self._rate)))
        # Of the same suffix, by which FFmpeg knows what to write.
        self._file = UnfinishedFile(self.path, self.path.suffix)
        place = self._file.place
        if self._growing and not self._file.streams:
            self._file.finish()
            place, self.written = self._file.path, self.path
        self._container = av.open(
            f"file:{place}", mode="w",
            options=STRICTNESS | options,
        )  # fmt: skip
        stream = self._container.add_stream("libx264", rate=self._rate, options=self._options)
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = self._clock.base
        context.sample_aspect_ratio = self._pixel_aspect
        # Written down so that no player has to guess: BT.709, limited range.
        context.colorspace = context.color_primaries = context.color_trc = 1
        context.color_range = 1
        self._sound = SoundWriter(self._container, self._tracks) if self._tracks else None
        self._container.start_encoding()
        self._stream = stream

    def _fitted(self, image: Image) -> Image:
        assert self._size is not None
        if image.shape[:2] != self._size:
            if not self._warned:
                self._warned = True
                _LOG.warning(
                    "frame %d is %d×%d, the first was %d×%d: this and others are scaled into the first's size in %s",
                    self.frames, image.shape[1], image.shape[0], self._size[1], self._size[0], self.path,
                )  # fmt: skip
            image = _letterboxed(image, self._size)
        odd = (image.shape[0] % 2, image.shape[1] % 2)
        if any(odd):
            image = np.pad(image, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge")
        return np.ascontiguousarray(image)

    @contextmanager
    def _output_errors(self) -> Iterator[None]:
        try:
            yield
        except (av.FFmpegError, OSError, ValueError) as error:
            self._discard()
            raise OutputError(
                f"{self.path} cannot be written ({reason(error)}): free space or choose another place"
            ) from error

    def _discard(self) -> None:
        container, self._container, self._stream = self._container, None, None
        if container is not None:
            with suppress(av.FFmpegError, OSError, ValueError):
                container.close()
        if self._file is not None and self.written is None:
            self._file.discard()
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()


def _same_everywhere() -> dict[str, str]:
    """Options by which the same frames give the same file.

    x264's loops for AVX-512 read memory that nobody wrote where a frame's width is no multiple of 128 (its mbtree):
    what came out was chance, most of all on another thread than the main one.
    """
    import cv2

    return {"x264-params": "asm=AVX2"} if cv2.checkHardwareSupport(_AVX512) else {}


def check_frame_size(size: tuple[int, int], path: Path) -> None:
    """See that frames (height, width) are not larger than H.264 takes."""
    if max(size) > _LONGEST_SIDE:
        raise OutputError(
            f"{path} cannot hold frames of {size[1]}×{size[0]}: H.264 takes {_LONGEST_SIDE} pixels a side at most; "
            "write label maps (--masks, or a folder as OUTPUT), or scale the frames down"
        )


def _letterboxed(image: Image, size: tuple[int, int]) -> Image:
    import cv2

    scale = min(size[0] / image.shape[0], size[1] / image.shape[1])
    height, width = (max(1, min(limit, round(scale * side))) for limit, side in zip(size, image.shape, strict=False))
    scaled = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    canvas = np.zeros((*size, 3), dtype=np.uint8)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    canvas[top : top + height, left : left + width] = scaled
    return canvas


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Hold Ctrl-C back until the block ends, or a packet between encoder and file, which others need, would be lost."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    held: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: held.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if held:
            before(*held[-1])
