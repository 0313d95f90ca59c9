"""The camera of a browser as a source: its pictures come over the page's websocket."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from netwarp.video.source import Frame, FrameSource, Image


class BrowserCamera(FrameSource):
    """Frames that another thread puts in; the newest of them comes next, and none while no browser sends any."""

    description = "the browser's camera"
    live = True

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._newest: Image | None = None
        self._closed = False
        self._claimed = threading.Lock()

    def claim(self) -> bool:
        """Let one browser send; False while another does."""
        return self._claimed.acquire(blocking=False)

    def release(self) -> None:
        """Let another browser send."""
        self._claimed.release()

    def put(self, image: Image) -> None:
        """Take a picture, RGB uint8 ``[H,W,3]``."""
        with self._changed:
            self._newest = image
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Frame]:
        """Yield pictures as they come, until the source is closed."""
        index, began = 0, time.monotonic()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._newest is not None or self._closed)
                image, self._newest = self._newest, None
            if image is None:
                return
            if index == 0:
                began = time.monotonic()
            yield Frame(index, image, time.monotonic() - began)
            index += 1

    def stop(self) -> None:
        """End the frames."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
