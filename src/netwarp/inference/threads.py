"""A CPU's cores, shared between the streams of a process."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["ThreadBudget", "cores_of_process", "opencv_on_one_thread"]

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


class ThreadBudget:
    """Gives each stream's passes their part of torch's threads: all of them to one stream, to more the fewer.

    A network gains little from its second thread and less from its eighth, but several networks side by side gain all
    of it. So where streams run in threads of one process, no pass has more than its part, and no more passes run at a
    time than there are cores for; the others wait for their turn.

    Attributes:
        streams: How many are under way.
        passes: How many run now.
    """

    def __init__(self, count: int | None = None) -> None:
        self._count = cores_of_process() if count is None else count
        self._whole = 1
        self.streams = 0
        self.passes = 0
        self._changed = threading.Condition()

    @contextmanager
    def stream(self) -> Iterator[None]:
        """A stream, as long as it lasts."""
        with self._changed:
            if self.streams == 0:
                # A thread that is new later begins with what another has been cut down to just then.
                self._whole = torch.get_num_threads()
            self.streams += 1
        try:
            yield
        finally:
            with self._changed:
                self.streams -= 1
                self._changed.notify_all()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One pass of a stream, with this thread's number of torch's threads cut down to its part."""
        mine, part, counted = torch.get_num_threads(), 0, False
        try:
            with self._changed:
                self._changed.wait_for(lambda: self.passes < self._at_once())
                self.passes, counted = self.passes + 1, True
                part = self._part()
            if part != mine:
                torch.set_num_threads(part)
            yield
        finally:
            if counted:
                with self._changed:
                    self.passes -= 1
                    self._changed.notify_all()
            if torch.get_num_threads() != self._whole:
                torch.set_num_threads(self._whole)

    def _part(self) -> int:
        return max(1, self._whole // max(1, self.streams))

    def _at_once(self) -> int:
        # Whoever cut his threads' number of threads down himself may have fewer than there are cores.
        return max(self._count, self._whole) // self._part()


def cores_of_process() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
