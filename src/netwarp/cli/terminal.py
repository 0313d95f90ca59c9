"""What a command says on the terminal: one line for an error, a line for each event, a progress bar."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType

from netwarp.cli.arguments import option_name
from netwarp.errors import NetWarpError

_LOG = logging.getLogger("netwarp")

_OPTIONS = {"example_size": "--size WIDTHxHEIGHT", "ids": "--prediction-ids cityscapes"}
"""Options that are not called as Python's arguments are."""


@dataclass
class Outcome:
    """How a command ended: the status to exit with."""

    status: int = 0


@contextlib.contextmanager
def one_line_errors(debug: bool) -> Iterator[Outcome]:
    """Run a command in the block: whatever goes wrong becomes one line on stderr and the status 2, Ctrl-C 130."""
    outcome = Outcome()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that has no "×" shall not end the work
    with _events_shown(), _termination_as_interrupt(), _foreign_noise(debug):
        try:
            try:
                yield outcome
            except SystemExit as leaving:  # --help and --version
                outcome.status = leaving.code if isinstance(leaving.code, int) else 0
            sys.stdout.flush()
        except BrokenPipeError:
            # Who reads our output has had enough; Python would complain when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except BaseException as error:
            if debug:
                traceback.print_exc()
            outcome.status = 128 + signal.SIGINT if isinstance(error, KeyboardInterrupt) else 2
            _print(f"netwarp: error: {_explanation(error)}")


def say(text: str) -> None:
    """Print a result."""
    print(text, flush=True)


def note(text: str) -> None:
    """Say what a user may want to know while the work goes on."""
    _LOG.info("%s", text)


def warn(text: str) -> None:
    """Say what will probably not be what the user wants."""
    _LOG.warning("%s", text)


@contextlib.contextmanager
def progress_bar(total: int | None) -> Iterator[Callable[..., None]]:
    """Show a bar of frames on a terminal, nothing elsewhere; what it gives is called once a frame, with anything."""
    from tqdm import tqdm

    with tqdm(total=total, unit=" frames", disable=not sys.stderr.isatty(), dynamic_ncols=True) as bar:

        def advance(*_: object) -> None:
            bar.update()

        yield advance


@contextlib.contextmanager
def going_on_later() -> Iterator[None]:
    """Say of work that is interrupted in the block that the same command goes on with it."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        said = str(interrupt) or "interrupted"
        if "goes on" not in said:
            said += ": the same command goes on where it was"
        raise KeyboardInterrupt(said) from interrupt


@contextlib.contextmanager
def quiet_loading(debug: bool) -> Iterator[None]:
    """Keep other libraries' remarks off stdout, which is for results, and show them on a terminal alone.

    There they are the progress of downloads, mostly.
    """
    remarks = sys.stderr if debug or sys.stderr.isatty() else io.StringIO()
    with contextlib.redirect_stdout(remarks), contextlib.redirect_stderr(remarks):
        yield


def _explanation(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        text = str(error) or "interrupted"
    elif isinstance(error, NetWarpError):
        text = error.worded(lambda option: _OPTIONS.get(option) or option_name(option))
    elif isinstance(error, MemoryError):
        text = "out of memory: let the network work at a smaller --size"
    elif type(error).__name__ == "OutOfMemoryError":  # torch's, without importing it
        text = "the GPU is out of memory: let the network work at a smaller --size, or take --device cpu"
    else:
        text = f"unexpected {type(error).__name__}: {error} (--debug shows where)"
    return " ".join(text.split())


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class _Events(logging.Handler):
    """Log records as lines on stderr, above the progress bar where there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        kind = "warning: " if record.levelno >= logging.WARNING else ""
        line = f"netwarp: {kind}{record.getMessage()}"
        if not sys.stderr.isatty():
            _print(line)
            return
        from tqdm import tqdm

        tqdm.write(line, file=sys.stderr)


@contextlib.contextmanager
def _events_shown() -> Iterator[None]:
    handler, level = _Events(logging.INFO), _LOG.level
    _LOG.addHandler(handler)
    _LOG.setLevel(logging.INFO)
    try:
        yield
    finally:
        _LOG.removeHandler(handler)
        _LOG.setLevel(level)


@contextlib.contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """SIGTERM, and a terminal that closes, do what Ctrl-C does: what is finished stays playable."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        # Whoever holds Ctrl-C back for a moment holds this back too.
        handler = signal.getsignal(signal.SIGINT)
        if callable(handler):
            handler(signal.SIGINT, frame)
        else:
            raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # A signal that is ignored was meant to be: nohup does that.
    before = {n: signal.getsignal(n) for n in numbers if signal.getsignal(n) is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _foreign_noise(debug: bool) -> Iterator[None]:
    """Python's warnings are for programmers."""
    if debug:
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
