"""Signals while training, and a process left as it was: random state, environment, no remarks of Lightning."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist

from netwarp.distributed import connected
from netwarp.errors import needs_extra
from netwarp.quiet import quiet_loggers


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM while training."""

    def __init__(self, step: int, steps: int, kept: int | None) -> None:
        text = f"interrupted after step {step} of {steps}"
        if kept:
            text += f": the same command goes on from step {kept}"
        super().__init__(text)
        self.step = step  # how many steps were done
        self.kept = kept  # how many of them a checkpoint holds; None where there is no folder for one


class AtOnce(BaseException):
    """A second signal: the training ends at once, without a checkpoint."""


class HeldSignals(contextlib.AbstractContextManager["HeldSignals"]):
    """Once told to hold, the first SIGINT or SIGTERM is only noted, and the second raises :class:`AtOnce`.

    Before that they do what they did: processes that are still connecting would wait for one that has gone. Outside
    the main thread, which alone gets signals, it does nothing.
    """

    def __init__(self) -> None:
        self.noted = False  # whether one has come
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> HeldSignals:
        if threading.current_thread() is threading.main_thread():
            # What is ignored was meant to be: nohup does that. What Python did not set, it cannot set again.
            handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
            self._before = {n: h for n, h in handlers.items() if h not in (signal.SIG_IGN, None)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def hold(self) -> None:
        for number in self._before:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.noted:
            raise AtOnce
        self.noted = True


_LOGGERS = ("lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric")


def need_lightning(purpose: str = "training") -> None:
    """Import Lightning; its loggers set their levels then."""
    with needs_extra("lightning", "train", purpose), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import lightning.fabric  # noqa: F401


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """While it lasts, Lightning's and torch's advice is not shown."""
    with warnings.catch_warnings(), quiet_loggers(*_LOGGERS):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def left_as_it_was() -> Iterator[None]:
    """Afterwards random state, number of threads and environment are as before, and no process group is left."""
    environment, threads, grouped = dict(os.environ), torch.get_num_threads(), connected()
    # To ask a GPU for its random state is to occupy it: only one that is in use anyway.
    used = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = [torch.cuda.current_device()] if used else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        if connected() and not grouped:
            dist.destroy_process_group()
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        torch.set_num_threads(threads)
