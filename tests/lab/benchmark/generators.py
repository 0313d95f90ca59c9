"""Generators for a process of its own to run, which imports them from here, and a runner that has none."""

import logging
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

from netwarp.errors import ConfigurationError


def here(function: Callable[..., Iterator[Any]], *arguments: object) -> Iterator[Any]:
    """A runner that stays in this process and tells nobody."""
    yield from function(*arguments, lambda _: None)


def talks(count: int, tell: Callable[[str], None]) -> Iterator[tuple[int, int, int]]:
    """Tells and warns before each value: its number, the process and its threads; then fails."""
    import torch  # which the others need not wait for

    for number in range(count):
        tell(f"at {number}")
        logging.getLogger("netwarp").info("an event")
        logging.getLogger("netwarp").warning("mind %d", number)
        yield number, os.getpid(), torch.get_num_threads()
    raise ZeroDivisionError("by nothing")


def dies(tell: Callable[[str], None]) -> Iterator[tuple[int, bool]]:
    """Its number, and whether Ctrl-C is kept from it; then dies."""
    yield os.getpid(), signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    os._exit(3)


def refuses(tell: Callable[[str], None]) -> Iterator[int]:
    yield 1
    raise ConfigurationError("no such thing: take another")


def counts(count: int, tell: Callable[[str], None]) -> Iterator[int]:
    yield from range(count)
