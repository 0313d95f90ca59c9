"""OpenCV on one thread while flow has a thread of its own beside a network that takes all cores."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["opencv_on_one_thread"]

_lock = threading.RLock()  # garbage collection may end one block inside of another
_users = 0
_before = 0


@contextmanager
def opencv_on_one_thread() -> Iterator[None]:
    """While any such block lasts, OpenCV starts no threads; afterwards it has as many as before the first.

    OpenCV knows one number for the whole process. With as many threads as there are cores it would take them from the
    network for flow that nobody waits for yet.
    """
    import cv2

    global _users, _before
    with _lock:
        if _users == 0:
            _before = cv2.getNumThreads()
            cv2.setNumThreads(1)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                cv2.setNumThreads(_before)
