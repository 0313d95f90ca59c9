"""Measuring in a process of its own: its memory and threads are nobody else's, and what it had is gone afterwards."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

from netwarp.errors import NetWarpError

__all__ = ["Apart", "Tell", "here", "in_own_process"]

log = logging.getLogger("netwarp")

GRACE = 10.0
"""Seconds that a process has to end and leave nothing behind."""

Tell = Callable[[str], None]
"""Called with what is being done, for whoever watches."""

Apart = Callable[..., Iterator[Any]]
"""``apart(tell, threads, function, *arguments)`` yields what ``function(*arguments, tell)`` yields; see
:func:`in_own_process`."""


def in_own_process(
    tell: Tell, threads: int | None, function: Callable[..., Iterator[Any]], *arguments: object
) -> Iterator[Any]:
    """Run a generator in a new process, which ends with it.

    As any generator it does nothing before it is asked for a value, and nothing after that until it is asked for the
    next: several of them can take turns.

    Args:
        tell: Called here with what the generator tells.
        threads: That torch and OpenCV use there; None for their own numbers.
        function: A module's function that yields; called with the arguments and a ``tell``.
        *arguments: What can be pickled.

    Yields:
        What it yields.

    Raises:
        NetWarpError: It failed, or its process died.
    """
    # Spawned: a fork has this process's memory, and hangs where this one has threads.
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, threads, function, arguments), daemon=True)
    with _interrupts_held():
        process.start()
    theirs.close()
    busy = True
    try:
        while True:
            kind, value = _next(mine, tell)
            busy = False
            if kind == "done":
                return
            if kind == "failed":
                raise value
            yield value
            busy = True
    finally:
        mine.close()  # which ends it where it waits
        if busy:
            process.terminate()
        process.join(GRACE)
        process.kill()
        process.join()


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C comes after the block; who is started in it gets none, also before it can say that it wants none."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def here(tell: Tell, threads: int | None, function: Callable[..., Iterator[Any]], *arguments: object) -> Iterator[Any]:
    """The same in this process, whose threads stay as they are."""
    yield from function(*arguments, tell)


def _next(connection: Connection, tell: Tell) -> tuple[str, Any]:
    """Ask for the next value, and pass on what is said until it comes."""
    try:
        connection.send("next")
        while True:
            kind, value = connection.recv()
            if kind == "told":
                tell(value)
            elif kind == "logged":
                log.log(*value)
            else:
                return kind, value
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise NetWarpError(
            "a process that measured died, perhaps for want of memory: measure fewer parts or networks at once"
        ) from None


def _work(
    connection: Connection, threads: int | None, function: Callable[..., Iterator[Any]], arguments: tuple[object, ...]
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the first process's business
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    warnings.simplefilter("ignore")
    logging.getLogger("torch").setLevel(logging.ERROR)
    one_at_a_time = threading.Lock()

    def send(kind: str, value: object) -> None:
        with one_at_a_time:
            connection.send((kind, value))

    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the first process is gone
        log.addHandler(_Forwarding(send))
        try:
            connection.recv()
            if threads is not None:
                _use(threads)
            for value in function(*arguments, lambda text: send("told", text)):
                send("made", value)
                connection.recv()
            send("done", None)
        except NetWarpError as error:
            send("failed", error)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:  # which might not travel to another process
            failure = NetWarpError(f"measuring failed with {type(error).__name__}: {error}")
            failure.add_note(traceback.format_exc())
            send("failed", failure)


class _Forwarding(logging.Handler):
    """Warnings go to the first process; events such as a scene cut are of no interest here."""

    def __init__(self, send: Callable[[str, object], None]) -> None:
        super().__init__(logging.WARNING)
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send("logged", (record.levelno, record.getMessage()))


def _use(threads: int) -> None:
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
