"""Work shared between the processes of ``torch.distributed``: each does its part, and all know the result."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

import torch
import torch.distributed as dist

from netwarp.errors import NetWarpError


class Peers:
    """This process and the others that train with it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.count = dist.get_world_size() if connected() else 1  # how many they are
        self.rank = dist.get_rank() if connected() else 0  # this one's number

    def sum(self, values: Sequence[float]) -> list[float]:
        """The sum of each value over all processes, in float64; a call of all of them."""
        if not connected():
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return total.tolist()


def is_first_process(devices: int) -> bool:
    """Whether this is the process that writes and tells, as the environment says before they are connected."""
    ranks = (os.environ.get(name) for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))
    return devices == 1 or next((rank for rank in ranks if rank is not None), "0") == "0"


Item = TypeVar("Item")


def connected() -> bool:
    """Whether ``torch.distributed`` runs."""
    return dist.is_available() and dist.is_initialized()


def part_of(items: Sequence[Item]) -> Sequence[Item]:
    """This process's part of something: every n-th of n processes; all of it where there is one process."""
    return items[dist.get_rank() :: dist.get_world_size()] if connected() else items


def all_processes(mine: Item) -> list[Item]:
    """What each process has, in the order of their ranks. A call of all of them."""
    if not connected():
        return [mine]
    found: list[Item] = [mine] * dist.get_world_size()
    dist.all_gather_object(found, mine)
    return found


def fail_together(error: NetWarpError | None) -> None:
    """Where one process cannot go on, raise its error in all of them, which would wait for it for ever."""
    first = next((found for found in all_processes(error) if found is not None), None)
    if first is not None:
        raise first
