"""Items that a thread makes ahead: the same ones, in order, no more than asked, and an end that is an end."""

import gc
import subprocess
import sys
import threading
import weakref

import pytest

from netwarp.inference.threads import Prefetcher


class Made:
    """Counts what was made, and can be waited for."""

    def __init__(self, length: int | None = None) -> None:
        self.length = length
        self.count = 0
        self.closed_by: threading.Thread | None = None
        self.threads: set[threading.Thread] = set()
        self.changed = threading.Condition()

    def __iter__(self):
        try:
            while self.count != self.length:
                with self.changed:
                    self.count += 1
                    self.threads.add(threading.current_thread())
                    self.changed.notify_all()
                yield self.count
        finally:
            self.closed_by = threading.current_thread()

    def wait_for(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.count >= count, timeout=10)


def netwarp_threads(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


@pytest.mark.parametrize("length", [0, 1, 2, 7])
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_the_same_items_in_order_from_another_thread(length, depth):
    made = Made(length)
    assert list(Prefetcher(iter(made), depth)) == list(range(1, length + 1))
    assert threading.current_thread() not in made.threads
    assert made.closed_by is not threading.current_thread()


@pytest.mark.parametrize("depth", [1, 3])
def test_is_ahead_by_no_more_than_its_depth_and_the_one_in_the_making(depth):
    made = Made()
    with Prefetcher(iter(made), depth) as ahead:
        for taken in range(1, 5):
            assert next(ahead) == taken
            made.wait_for(taken + depth + 1)
            assert made.count == taken + depth + 1
        # What is handed over late would be made by now.
        threading.Event().wait(0.05)
        assert made.count == taken + depth + 1


def test_nothing_is_made_before_it_is_asked_for():
    made = Made()
    with Prefetcher(iter(made), name="idle") as ahead:
        assert not made.count
        assert not netwarp_threads("idle")
        next(ahead)
        assert len(netwarp_threads("idle")) == 1


def test_an_error_comes_where_its_item_would_have():
    def items():
        yield 1
        yield 2
        raise OSError("no third")

    ahead = Prefetcher(items())
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(OSError, match="no third") as raised:
        next(ahead)
    assert any(entry.name == "items" for entry in raised.traceback)
    with pytest.raises(StopIteration):
        next(ahead)


def test_closing_ends_the_thread_and_closes_the_items_on_it():
    made = Made()
    ahead = Prefetcher(iter(made), name="closed early")
    next(ahead)
    made.wait_for(3)  # the thread waits for room now
    ahead.close()
    assert not netwarp_threads("closed early")
    assert made.closed_by is not None
    assert made.closed_by is not threading.current_thread()
    with pytest.raises(StopIteration):
        next(ahead)
    ahead.close()


def test_closing_before_the_first_item_closes_the_items():
    closed = []

    def items():
        try:
            yield 1
        finally:
            closed.append(True)

    inner = items()
    next(inner)
    Prefetcher(inner).close()
    assert closed


def test_stopped_stages_do_not_wait():
    """Closing the second alone would wait for an item that the first never makes."""
    asked, never = threading.Event(), threading.Event()

    def items():
        yield 1
        asked.set()
        never.wait(10)
        yield 2

    first = Prefetcher(items(), name="stuck")
    second = Prefetcher((item for item in first), name="behind it")
    assert next(second) == 1
    assert asked.wait(10)
    first.stop(), second.stop()
    second.close()
    assert not never.is_set()
    never.set()
    first.close()


def test_an_error_holds_nothing_once_it_was_handled():
    class Large:
        pass

    large = Large()
    held = weakref.ref(large)

    def items():
        mine = large  # noqa: F841 - as a frame's tensors are when their maker fails
        yield 1
        raise OSError("no")

    gc.disable()
    try:
        with Prefetcher(items()) as ahead:
            next(ahead)
            with pytest.raises(OSError, match="no"):
                next(ahead)
        del ahead, items
        large = None
        assert held() is None
    finally:
        gc.enable()


def test_one_after_another():
    made = Made(20)
    with (
        Prefetcher(iter(made), name="first") as first,
        Prefetcher((2 * item for item in first), name="second") as second,
    ):
        assert [next(second) for _ in range(3)] == [2, 4, 6]
    assert not netwarp_threads("first")
    assert not netwarp_threads("second")
    assert list(Prefetcher(2 * item for item in Prefetcher(iter(Made(5))))) == [2, 4, 6, 8, 10]


def test_holds_no_item_that_was_taken():
    class Item:
        living = 0

        def __init__(self) -> None:
            Item.living += 1

        def __del__(self) -> None:
            Item.living -= 1

    made = threading.Semaphore(0)

    def items():
        for _ in range(10):
            item = Item()
            made.release()
            yield item
            del item

    with Prefetcher(items(), depth=1) as ahead:
        for _ in range(3):
            item = next(ahead)
        for _ in range(5):  # three taken, one ready, one that waits for room
            assert made.acquire(timeout=10)
        gc.collect()
        assert Item.living == 3
        del item
    gc.collect()
    assert Item.living == 0


PROGRAMS = """
import itertools, os
from netwarp.inference.threads import Prefetcher
for last in (SystemExit(3), KeyboardInterrupt()):
    if child := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    ahead = Prefetcher(itertools.count())
    print(next(ahead), flush=True)
    raise last
"""


def test_a_program_ends_without_close():
    ended = subprocess.run([sys.executable, "-c", PROGRAMS], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.split() == ["0", "3", "0", "-2"]
    assert "Fatal" not in ended.stderr
