"""Ctrl-C and SIGTERM, held back until a step is done."""

from __future__ import annotations

import contextlib
import signal
import threading
from types import FrameType
from typing import Any

__all__ = ["AtOnce", "HeldSignals", "Interrupted"]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM while training.

    Attributes:
        step: How many steps were done.
        kept: How many steps a checkpoint holds; None where there is no folder for one.
    """

    def __init__(self, step: int, steps: int, kept: int | None) -> None:
        text = f"interrupted after step {step} of {steps}"
        if kept:
            text += f": the same command goes on from step {kept}"
        super().__init__(text)
        self.step, self.kept = step, kept


class AtOnce(BaseException):
    """A second signal: whoever sends it will not wait. Not a KeyboardInterrupt, of which Lightning makes an exit."""


class HeldSignals(contextlib.AbstractContextManager["HeldSignals"]):
    """Once told to hold, the first SIGINT or SIGTERM is only noted, and the second raises :class:`AtOnce`.

    Before that they do what they did: processes that are still connecting would wait for one that has gone. Outside
    the main thread, which alone gets signals, it does nothing.

    Attributes:
        noted: Whether one has come.
    """

    def __init__(self) -> None:
        self.noted = False
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
        """Hold them, in place of Lightning's trainer, which sets handlers of its own when it begins."""
        for number in self._before:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.noted:
            raise AtOnce
        self.noted = True
