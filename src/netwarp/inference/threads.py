"""Threads and CUDA streams of a video stream: what works ahead of the network, and who gets how many cores."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, Generic, Self, TypeVar

import torch
from torch import Tensor

Item = TypeVar("Item")

JOIN_SECONDS = 5.0
"""How long the end of the program waits for a thread that, for example, waits for a camera."""


class Prefetcher(Generic[Item]):
    """An iterator whose items are made in order by its own thread, up to ``depth`` ahead; leaving the block ends it.

    The thread starts with the first ``next``. An error while an item is made is raised where that item would have been
    returned. Without ``close`` after an early end, the thread waits for room for its next item.
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
            del error  # its traceback holds this frame: a circle that would keep the items' tensors

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the thread after the item that it is making, and wait for it; drop what is ready."""
        self.stop()
        if self._thread is None:
            _close(self._items)
        elif self._thread is not threading.current_thread():
            # At the end of the program a thread may never come to its end.
            self._thread.join(JOIN_SECONDS if sys.is_finalizing() else None)

    def _start(self) -> None:
        # A daemon: the program's end waits for other threads before it calls what could stop this one.
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        _running.add(self)
        thread.start()
        self._thread = thread

    def stop(self) -> None:
        """Tell the thread to end, and end the iteration; does not wait.

        Stop all prefetchers of a chain before closing one: it may wait for an item of another.
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
        except BaseException as error:  # of any kind: it is raised in the thread that asks for the item
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _hand_over(self, item: Item) -> bool:
        """Wait for room and queue the item; False if everything was stopped before there was room."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._ready) < self._depth or self._stopped)
            if not self._stopped:
                self._ready.append(item)
            self._changed.notify_all()
            return not self._stopped


class Newest(Prefetcher[Item]):
    """The same, but its thread never waits: who asks gets the newest item, and ``dropped`` counts the others.

    What of a dropped item must not be lost, ``merge`` adds to the one behind it.
    """

    def __init__(
        self,
        items: Iterable[Item],
        name: str = "netwarp-newest",
        merge: Callable[[Item, Item], Item] = lambda dropped, item: item,
    ) -> None:
        super().__init__(items, name=name)
        self._merge = merge
        self.dropped = 0

    def _hand_over(self, item: Item) -> bool:
        with self._changed:
            if not self._stopped:
                if self._ready:
                    item = self._merge(self._ready.popleft(), item)
                    self.dropped += 1
                self._ready.append(item)
            self._changed.notify_all()
            return not self._stopped


def _close(items: object) -> None:
    if isinstance(items, (Generator, Prefetcher)):
        items.close()


_running: weakref.WeakSet[Prefetcher[Any]] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    """Threads that were not closed must not run while the interpreter is taken apart under them."""
    left = list(_running)
    for each in left:
        each.stop()
    for each in left:
        if each._thread is not None:
            with suppress(RuntimeError):
                each._thread.join(JOIN_SECONDS)


class Staging:
    """Copies between the host and the network's device, and a CUDA stream for the work ahead of the network.

    On a GPU the next frame is prepared on its own stream, and copies go through pinned memory. Tensors made under
    :meth:`aside` are ready for the network's stream after ``join(mark)``. They must be held until the frame's result
    was downloaded, as the stream that made them could write over them earlier. On a CPU all of it does nothing.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._on_gpu = device.type == "cuda"
        self._side: Any = None
        if self._on_gpu:
            self._side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            # Work under way on the weights must be done before flow is corrected with them.
            self._side.wait_stream(torch.cuda.current_stream(device))

    def aside(self) -> AbstractContextManager[Any]:
        """Queue this thread's GPU work beside the network's, in the block."""
        return torch.cuda.stream(self._side) if self._on_gpu else nullcontext()

    def upload(self, tensor: Tensor) -> Tensor:
        """Copy a tensor to the device, without waiting for it."""
        if self._on_gpu and tensor.device.type == "cpu":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)

    def mark(self) -> Any:  # noqa: ANN401 - PyTorch's events have no common type
        """Record what was queued aside until now, for :meth:`join`."""
        return self._side.record_event() if self._on_gpu else None

    def join(self, mark: Any) -> None:  # noqa: ANN401
        """Let the network's stream, not its thread, wait for a mark."""
        if mark is not None:
            torch.cuda.current_stream(self.device).wait_event(mark)

    def finish(self) -> None:
        """Wait until this thread's work on the device is done."""
        if self._on_gpu:
            torch.cuda.current_stream(self.device).synchronize()

    def download(self, *tensors: Tensor) -> list[Tensor]:
        """Copy tensors to the host: the one time that a frame is waited for."""
        copies = [tensor.to("cpu", non_blocking=self._on_gpu) for tensor in tensors]
        self.finish()
        if self._on_gpu:
            # Out of pinned memory, which a caller who keeps results would fill.
            copies = [copy.clone() for copy in copies]
        return copies


class ThreadBudget:
    """Divides torch's threads between the streams of a process: all to one stream, an equal part to each of several.

    A network gains little from its second thread and less from its eighth, but several networks side by side gain all
    of it. So no pass has more than its part, and no more passes run at a time than there are cores for; the others
    wait for their turn. ``streams`` and ``passes`` count those that are open and running.
    """

    def __init__(self, count: int | None = None) -> None:
        self._count = cores_of_process() if count is None else count
        self._whole = 1
        self.streams = 0
        self.passes = 0
        self._changed = threading.Condition()

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Count a stream, as long as the block lasts."""
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
        """Run one pass of a stream in the block, with this thread's number of torch's threads cut to its part."""
        mine, part, counted = torch.get_num_threads(), 0, False
        try:
            with self._changed:
                # A caller may have set fewer torch threads than there are cores.
                cores = max(self._count, self._whole)
                self._changed.wait_for(lambda: self.passes < cores // self._part())
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


_opencv_lock = threading.RLock()  # garbage collection may end one block inside of another
_opencv_blocks = 0
_opencv_threads = 0


@contextmanager
def opencv_on_one_thread() -> Iterator[None]:
    """Let OpenCV start no threads in the block, and in any that overlaps it; afterwards it has as many as before.

    OpenCV knows one number for the whole process. With as many threads as there are cores, flow that is not waited for
    yet would take them from the network.
    """
    import cv2

    global _opencv_blocks, _opencv_threads
    with _opencv_lock:
        if _opencv_blocks == 0:
            _opencv_threads = cv2.getNumThreads()
            cv2.setNumThreads(1)
        _opencv_blocks += 1
    try:
        yield
    finally:
        with _opencv_lock:
            _opencv_blocks -= 1
            if _opencv_blocks == 0:
                cv2.setNumThreads(_opencv_threads)


def cores_of_process() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
