"""The processes of one training."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
import torch.distributed as dist

__all__ = ["Peers", "is_first_process"]


class Peers:
    """This process and the others that train with it.

    Args:
        device: This process's.

    Attributes:
        count: How many they are.
        rank: This one's number.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._connected = dist.is_available() and dist.is_initialized()
        self.count = dist.get_world_size() if self._connected else 1
        self.rank = dist.get_rank() if self._connected else 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """The sum of each value over all processes, in float64; a call of all of them."""
        if not self._connected:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return total.tolist()


def is_first_process(devices: int) -> bool:
    """Whether this is the process that writes and tells, as the environment says before they are connected.

    Args:
        devices: How many take part.
    """
    ranks = (os.environ.get(name) for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))
    return devices == 1 or next((rank for rank in ranks if rank is not None), "0") == "0"
