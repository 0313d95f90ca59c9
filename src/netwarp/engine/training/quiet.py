"""Lightning as it should be: without remarks, and leaving the process as it was."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator

import torch
import torch.distributed as dist

from netwarp.errors import MissingExtraError

__all__ = ["left_as_it_was", "need_lightning", "quiet_lightning"]

_LOGGERS = ("lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric", "pytorch_lightning")


def need_lightning(purpose: str = "training") -> None:
    """Import Lightning; its loggers set their levels then.

    Args:
        purpose: What needs it.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import lightning.pytorch  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("lightning", "train", purpose) from error


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """While it lasts, Lightning's and torch's advice is not shown."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextlib.contextmanager
def left_as_it_was() -> Iterator[None]:
    """Afterwards random state, number of threads and environment are as before, and no process group is left."""
    environment, threads, grouped = dict(os.environ), torch.get_num_threads(), _grouped()
    # To ask a GPU for its random state is to occupy it: only one that is in use anyway.
    used = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = [torch.cuda.current_device()] if used else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        if _grouped() and not grouped:
            dist.destroy_process_group()
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        torch.set_num_threads(threads)


def _grouped() -> bool:
    return dist.is_available() and dist.is_initialized()
