"""Work in processes of their own, forked from this one: torch and Lightning are there at once."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess

import pytest
import torch

from netwarp.cli import main


def started(work: Callable[..., None], *arguments: object) -> BaseProcess:
    """A process that does the work."""
    import lightning.fabric  # noqa: F401  (before any process is forked)

    if torch.cuda.is_initialized():
        pytest.skip("a process that has used a GPU cannot be forked")
    process = multiprocessing.get_context("fork").Process(target=work, args=arguments)
    process.start()
    return process


def outcome(process: BaseProcess) -> int | None:
    """How it ended: its status, or the number of the signal that killed it with a minus."""
    process.join(120)
    assert process.exitcode is not None, "it does not end"
    return process.exitcode


def command(errors: str, *arguments: object) -> BaseProcess:
    """A process that runs a command of netwarp's as a shell would, with stderr in a file."""
    return started(_command, errors, [str(argument) for argument in arguments])


def _command(errors: str, arguments: list[str]) -> None:
    descriptor = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 2)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # where tests run in the background it is ignored
    os._exit(main(arguments))
