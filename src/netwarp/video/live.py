"""Read frames from a camera, or from a stream on the network."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from netwarp.errors import InputError
from netwarp.output_files import reason
from netwarp.video.decoding import OPEN_OPTIONS, Damage, DecodedSource, check_pixels, video_stream
from netwarp.video.source import Frame, FrameSource, Image

OPEN_TIMEOUT = 15.0
"""Seconds that a stream has to answer, and to deliver what its first frame takes."""
READ_TIMEOUT = 10.0
"""Seconds without data after which a stream has ended."""


class LiveStream(DecodedSource):
    """A stream or a device that FFmpeg reads. After lost packets, reading goes on at the next key frame."""

    live = True

    def __init__(
        self,
        url: str,
        *,
        description: str | None = None,
        input_format: str | None = None,
        open_timeout: float = OPEN_TIMEOUT,
        read_timeout: float = READ_TIMEOUT,
    ) -> None:
        self.description = description or _without_password(url)
        self._read_timeout = read_timeout
        # Over UDP, which RTSP tries first, many routers drop packets or all of them.
        options = {"rtsp_transport": "tcp"} if url.lower().startswith("rtsp") else {}
        try:
            self._container = av.open(
                url,
                format=input_format,
                options=options,
                timeout=(open_timeout, read_timeout),
                **OPEN_OPTIONS,
            )
        except av.error.ExitError as error:
            raise InputError(f"{self.description} did not answer for {open_timeout:g} s: check the address") from error
        except av.error.ProtocolNotFoundError as error:
            raise InputError(
                f"{self.description} is no kind of address that FFmpeg reads: download it, or give it to netwarp fleet"
            ) from error
        except (av.FFmpegError, ValueError, OSError) as error:
            raise InputError(f"{self.description} cannot be opened ({reason(error)}): check the address") from error
        self.live = not self._container.duration and self._container.size <= 0  # else a file that lies elsewhere
        self._frames = self._read(self._container)
        self._begin(self._frames)

    def close(self) -> None:
        """Close the stream."""
        if self._container is not None:
            self._frames.close()
            self._container.close()
            self._container = None

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames as they come; a second pass goes on where the first stopped."""
        yield from self._all(self._frames)

    def _read(self, container: InputContainer) -> Generator[Frame]:
        stream: VideoStream | None = video_stream(container)
        if stream is None or stream.codec_context is None:
            raise InputError(f"{self.description} holds no video that can be decoded: give a stream with a picture")
        check_pixels(stream, self.description)
        damage = Damage()
        count, seconds = 0, 0.0
        for frame in self._decode(container, stream, damage):
            count, seconds = frame.index + 1, frame.time
            yield frame
        if not count:
            if damage.timed_out:
                raise InputError(f"{self.description} gave no frame within {self._read_timeout:g} s: is it sending?")
            raise InputError(f"{self.description} ended without a frame that can be decoded: is it a video, and whole?")
        if damage.timed_out:
            self.loss = (
                f"{self.description} sent nothing for {self._read_timeout:g} s "
                f"after frame {count} ({seconds:.1f} s): the stream has ended"
            )
        elif damage.reason is not None:
            self.loss = f"{self.description} lost data, first after frame {damage.after}: some frames are missing"


class OpenCVCamera(FrameSource):
    """A camera through OpenCV, for systems whose cameras FFmpeg does not know by index."""

    live = True

    def __init__(self, index: int) -> None:
        import cv2

        self.description = f"camera {index}"
        self._capture = cv2.VideoCapture(index)
        first = self._grab() if self._capture.isOpened() else None
        if first is None:
            self.close()
            raise InputError(f"camera {index} cannot be opened: is it connected, free and allowed to be used?")
        self._first: Image | None = first
        rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.fps = rate if 0 < rate < 1000 else None
        self.size = (first.shape[0], first.shape[1])

    def close(self) -> None:
        """Close the camera."""
        self._capture.release()

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames with the time at which they were taken off the camera."""
        index, start = 0, time.monotonic()
        image, self._first = self._first, None
        if image is None:
            image = self._grab()
        while image is not None:
            yield Frame(index=index, image=image, time=time.monotonic() - start if index else 0.0)
            index, image = index + 1, self._grab()
        self.loss = f"{self.description} stopped after frame {index}"

    def _grab(self) -> Image | None:
        import cv2

        taken, bgr = self._capture.read()
        if not taken:
            return None
        image: Image = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        return image


def open_camera(camera: int | Path) -> FrameSource:
    """Open a camera by its index, or on Linux by its device file."""
    if not sys.platform.startswith("linux"):
        if isinstance(camera, int):
            return OpenCVCamera(camera)
        raise InputError(f"{camera} is a device, not a video: give the camera's index, such as 0")
    device = Path(f"/dev/video{camera}") if isinstance(camera, int) else camera
    name = f"camera {camera}" if isinstance(camera, int) else str(camera)
    if not device.exists():
        found = sorted(entry.name.removeprefix("video") for entry in Path("/dev").glob("video[0-9]*"))
        known = f"cameras found: {', '.join(found)}" if found else "no camera is connected"
        raise InputError(f"{name} cannot be opened ({device} does not exist): {known}")
    return LiveStream(str(device), description=name, input_format="v4l2")


def _without_password(url: str) -> str:
    """Remove user and password, which do not belong into logs, from an address.

    >>> _without_password("rtsp://me:secret@camera.local/live")
    'rtsp://camera.local/live'
    """
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}" if rest else url
