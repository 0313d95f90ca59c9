"""Trainings in processes of their own, forked from this one: torch and Lightning are there at once."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.process import BaseProcess

import lightning.fabric  # noqa: F401  (before any process is forked)
import pytest
import torch


def started(work: Callable[..., None], *arguments: object) -> BaseProcess:
    """A process that does the work."""
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
