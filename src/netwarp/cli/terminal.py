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
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TextIO

from netwarp.cli.arguments import Answer, option_name
from netwarp.errors import NetWarpError, OutputError, is_out_of_memory, shortened
from netwarp.output_files import reason

_LOG = logging.getLogger("netwarp")

_OPTIONS = {"example_size": "--size WIDTHxHEIGHT", "ids": "--prediction-ids cityscapes"}
"""Options that are not called as Python's arguments are."""

_OBEYED = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Kinds of characters that a terminal obeys instead of showing."""


_READER_GONE = 128 + 13
"""What a shell says of a program that SIGPIPE ended."""

_gone: set[TextIO] = set()
"""Streams that nobody reads any more."""


def with_open_streams() -> None:
    """Open what is closed of stdin, stdout and stderr, as a daemon's may be, or files would get their numbers."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115 (stays open)


def one_line_errors(work: Callable[[], None], debug: bool, *, whole_process: bool = False) -> int:
    """Do the work of a command, and give the status to exit with.

    Whatever goes wrong becomes one line on stderr and the status 2, Ctrl-C 130. Where the command is all that this
    process is for, signals that come after it change nothing any more.
    """
    status = 0
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that has no "×" shall not end the work
    # Python's warnings are for programmers.
    with _events_shown(), contextlib.nullcontext() if debug else warnings.catch_warnings(action="ignore"):
        try:
            with _termination_as_interrupt(whole_process):
                try:
                    work()
                except Answer as answer:
                    say(answer.text)
                except SystemExit as leaving:
                    status = leaving.code if isinstance(leaving.code, int) else 0
            _print("", sys.stdout)
        except BaseException as error:
            if debug:
                _print(traceback.format_exc().rstrip(), sys.stderr)
            status = 128 + signal.SIGINT if isinstance(error, KeyboardInterrupt) else 2
            _print(_explanation(error), sys.stderr)
    if status == 0 and sys.stdout in _gone:
        status = _READER_GONE
    _gone.clear()
    return status


def say(text: str) -> None:
    """Print a result."""
    _print(text, sys.stdout)


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
    elif is_out_of_memory(error):
        gpu = type(error).__name__ == "OutOfMemoryError"
        text = "the GPU is out of memory" if gpu else "out of memory"
        text += ": let the network work at a smaller --size" + (", or take --device cpu" if gpu else "")
    elif isinstance(error, OSError) and error.filename is not None and error.strerror:
        text = f"{error.filename} cannot be used ({error.strerror}): check its name, its rights and the disk"
    else:
        text = f"unexpected {type(error).__name__}: {error} (--debug shows where)"
    return shortened(_printable(" ".join(f"netwarp: error: {text}".split())))


def _print(text: str, stream: TextIO) -> None:
    """Print a line, or flush. Where nobody reads any more that changes nothing: results do not depend on it."""
    if stream in _gone:
        return
    try:
        stream.write(f"{_printable(text)}\n" if text else "")
        stream.flush()
    except OSError as error:
        _gone.add(stream)
        with contextlib.suppress(OSError, ValueError):  # or Python would complain when it flushes at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if stream is sys.stdout and not isinstance(error, BrokenPipeError):
            raise OutputError(
                f"stdout cannot be written ({reason(error)}): free space or choose another place"
            ) from error


def _printable(text: str) -> str:
    r"""Show the control characters of foreign names and texts, which a terminal would obey.

    >>> print(_printable("a\x1b[31mb"))
    a\x1b[31mb
    """
    if text.isprintable():
        return text
    return "".join(
        c if c in "\n\t" or unicodedata.category(c) not in _OBEYED else c.encode("unicode_escape").decode()
        for c in text
    )


class _Events(logging.Handler):
    """Log records as lines on stderr, above the progress bar where there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        kind = "warning: " if record.levelno >= logging.WARNING else ""
        line = f"netwarp: {kind}{record.getMessage()}"
        if not sys.stderr.isatty():
            _print(line, sys.stderr)
            return
        from tqdm import tqdm

        with tqdm.external_write_mode(file=sys.stderr):
            _print(line, sys.stderr)


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


_ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextlib.contextmanager
def _termination_as_interrupt(whole_process: bool) -> Iterator[None]:
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

    # A signal that is ignored was meant to be: nohup does that.
    before = {n: signal.getsignal(n) for n in _ENDING if signal.getsignal(n) is not signal.SIG_IGN}
    for number in before:
        if number != signal.SIGINT:
            signal.signal(number, interrupt)
        elif whole_process:  # until now Ctrl-C ended the process at once
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            # When a whole process is done, what comes is too late to interrupt anything.
            signal.signal(number, signal.SIG_IGN if whole_process else handler)
