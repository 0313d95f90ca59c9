"""Work shared between the processes of ``torch.distributed``: each does its part, and all know the result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from torch import distributed

from netwarp.errors import NetWarpError

__all__ = ["all_processes", "fail_together", "part_of"]

Item = TypeVar("Item")


def _started() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def part_of(items: Sequence[Item]) -> Sequence[Item]:
    """This process's part of something: every n-th of n processes; all of it where there is one process."""
    return items[distributed.get_rank() :: distributed.get_world_size()] if _started() else items


def all_processes(mine: Item) -> list[Item]:
    """What each process has, in the order of their ranks. A call of all of them."""
    if not _started():
        return [mine]
    found: list[Item] = [mine] * distributed.get_world_size()
    distributed.all_gather_object(found, mine)
    return found


def fail_together(error: NetWarpError | None) -> None:
    """Where one process cannot go on, raise its error in all of them, which would wait for it for ever.

    Args:
        error: What stopped this process, or None. A call of all processes.

    Raises:
        NetWarpError: The first process's error, by rank.
    """
    first = next((found for found in all_processes(error) if found is not None), None)
    if first is not None:
        raise first
