"""Work ahead: what makes items runs on a thread of its own, a few items before they are asked for."""

from __future__ import annotations

import atexit
import sys
import threading
import weakref
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

__all__ = ["Prefetcher"]

Item = TypeVar("Item")

JOIN_SECONDS = 5.0
"""How long the end of the program waits for a thread that is, say, waiting for a camera."""


class Prefetcher(Generic[Item]):
    """An iterator whose items are made by a thread of its own, in order. A context manager: leaving it ends the thread.

    The thread starts with the first item that is asked for. An error of the items' maker comes out where the item that
    it failed to make would have. Whoever stops before the last item closes, or the thread waits for him.
    """

    def __init__(self, items: Iterable[Item], depth: int = 1, name: str = "netwarp-prefetch") -> None:
        self._items = items
        self._depth = depth
        self._name = name
        self._changed = threading.Condition()
        self._ready: deque[Item] = deque()
        self._error: BaseException | None = None
        self._ended = self._stopped = False
        self._thread: threading.Thread | None = None

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        with self._changed:
            if self._thread is None and not self._stopped:
                self._start()
            self._changed.wait_for(lambda: self._ready or self._ended or self._stopped)
            if self._ready:
                item = self._ready.popleft()
                self._changed.notify_all()
                return item
            error, self._error = self._error, None
        if error is None:
            raise StopIteration
        try:
            raise error
        finally:
            del error  # else it would hold itself, by its traceback, and all that its maker was at

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the thread, after the item that it is making, and wait for it; what is ready is dropped."""
        self.stop()
        if self._thread is None:
            _close(self._items)
        elif self._thread is not threading.current_thread():
            # At the end of the program a thread may never come to its end.
            self._thread.join(JOIN_SECONDS if sys.is_finalizing() else None)

    def _start(self) -> None:
        # A daemon, since at the end of the program others are waited for before anyone can tell them to stop.
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        _running.add(self)
        thread.start()
        self._thread = thread

    def stop(self) -> None:
        """Tell the thread to end, and whoever waits for an item that there is none; waits for nobody.

        Where several are in a row, all are stopped before one is closed: it might wait for an item of another.
        """
        with self._changed:
            self._stopped = True
            self._ready.clear()
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            for item in self._items:
                if not self._hand_over(item):
                    break
                del item  # it may be large, and the next one takes its time
            _close(self._items)
        except BaseException as error:  # whatever it is, it belongs to the one who asked for the item
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _hand_over(self, item: Item) -> bool:
        """Wait for room; whether there was any before it all was stopped."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._ready) < self._depth or self._stopped)
            if not self._stopped:
                self._ready.append(item)
            self._changed.notify_all()
            return not self._stopped


def _close(items: object) -> None:
    if isinstance(items, (Generator, Prefetcher)):
        items.close()


_running: weakref.WeakSet[Prefetcher[Any]] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    """Threads that nobody closed must not run while the interpreter is taken apart under them."""
    left = list(_running)
    for each in left:
        each.stop()
    for each in left:
        if each._thread is not None:
            with suppress(RuntimeError):
                each._thread.join(JOIN_SECONDS)
