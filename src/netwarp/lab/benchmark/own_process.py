"""A generator in a process of its own, whose memory and threads are nobody else's."""

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

log = logging.getLogger("netwarp")

GRACE = 10.0
"""Seconds that a process has to end and leave nothing behind."""

Progress = Callable[[str], None]
"""Called with what is being done, for whoever watches."""

Runner = Callable[..., Iterator[Any]]
"""``runner(function, *arguments)`` yields what ``function(*arguments, tell)`` yields; see :func:`in_own_process`."""

_GONE = (EOFError, BrokenPipeError, ConnectionResetError)


def in_own_process(
    tell: Progress, threads: int | None, function: Callable[..., Iterator[Any]], *arguments: object
) -> Iterator[Any]:
    """Run a generator in a new process, which ends with it.

    As any generator it does nothing before it is asked for a value, and nothing after that until it is asked for the
    next: several of them can take turns.
    """
    # Spawned: a fork has this process's memory, and hangs where this one has threads.
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, threads, function, arguments), daemon=True)
    # Ctrl-C comes here, after the start; the new process gets none, also before it can say that it wants none.
    mask: Callable[..., Any] = getattr(signal, "pthread_sigmask", lambda *_: None)  # Windows has none
    before = mask(getattr(signal, "SIG_BLOCK", 0), {signal.SIGINT})
    try:
        process.start()
    finally:
        mask(getattr(signal, "SIG_SETMASK", 0), before)
    theirs.close()
    busy = True
    try:
        while True:
            mine.send("next")
            kind, value = mine.recv()
            while kind in ("told", "logged"):
                tell(value) if kind == "told" else log.log(*value)
                kind, value = mine.recv()
            busy = False
            if kind == "failed":
                raise value
            if kind == "done":
                return
            yield value
            busy = True
    except _GONE:
        raise NetWarpError(
            "a process that measured died, perhaps for want of memory: measure fewer parts or networks at once"
        ) from None
    finally:
        mine.close()  # which ends it where it waits
        if busy:
            process.terminate()
        process.join(GRACE)
        process.kill()
        process.join()


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

    with contextlib.suppress(*_GONE):  # the first process is gone
        warned = logging.Handler(logging.WARNING)  # events such as a scene cut are of no interest here
        warned.emit = lambda record: send("logged", (record.levelno, record.getMessage()))  # type: ignore[method-assign]
        log.addHandler(warned)
        connection.recv()
        try:
            if threads is not None:
                import cv2
                import torch

                torch.set_num_threads(threads)
                cv2.setNumThreads(threads)
            for value in function(*arguments, lambda text: send("told", text)):
                send("made", value)
                connection.recv()
            send("done", None)
        except NetWarpError as error:
            send("failed", error)
        except Exception as error:  # which might not travel to another process
            failure = NetWarpError(f"measuring failed with {type(error).__name__}: {error}")
            failure.add_note(traceback.format_exc())
            send("failed", failure)
