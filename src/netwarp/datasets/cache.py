"""Keep what is slow to make: tensors used last in memory, arrays on disk."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from netwarp.errors import ConfigurationError
from netwarp.kept_arrays import load_arrays
from netwarp.output_files import atomic_write

Array = NDArray[Any]

FLOW_FORMAT = 1
"""Raised whenever the same frames and settings would be kept as other bytes: flows in folders are then made anew."""


class RecentTensors:
    """Keep the tensors used last, up to a number of bytes; a pickle is empty, as each worker reads its own."""

    def __init__(self, budget: int) -> None:
        if budget < 0:
            raise ConfigurationError(f"memory for frames must be 0 bytes or more, not {budget}")
        self.budget = budget
        self.held = 0
        self._tensors: OrderedDict[Hashable, Tensor] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """Give the tensor of a key, made if it is not held; it must not be changed in place."""
        if key in self._tensors:
            self._tensors.move_to_end(key)
            return self._tensors[key]
        tensor = make()
        if tensor.nbytes <= self.budget:
            self._tensors[key] = tensor
            self.held += tensor.nbytes
        while self.held > self.budget:
            self.held -= self._tensors.popitem(last=False)[1].nbytes
        return tensor

    def __getstate__(self) -> dict[str, Any]:
        return {"budget": self.budget, "held": 0, "_tensors": OrderedDict()}


class DiskCache:
    """Keep arrays in a folder, one ``.npz`` a key. Several processes may use one folder at once."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def get(self, key: str, make: Callable[[], Array]) -> Array:
        """Give the array of a key, made and kept if there is none or a damaged one."""
        # Two characters of the key are a folder: some file systems are slow with a hundred thousand files in one.
        path = self.folder / key[:2] / f"{key}.npz"
        found = load_arrays(path)
        if found is not None and "array" in found:
            return found["array"]
        array = make()
        with atomic_write(path, "free space or name another folder for flow") as file:
            np.savez(file, array=array)
        return array


def flow_key(current: Tensor, previous: Tensor, settings: str) -> str:
    """Name the flow between two frames by their content and how it is estimated."""
    shapes = tuple(current.shape), tuple(previous.shape)
    digest = hashlib.sha256(repr((FLOW_FORMAT, settings, shapes)).encode())
    for frame in (current, previous):
        digest.update(frame.contiguous().numpy().data)
    return digest.hexdigest()[:40]


def compact_flow(flow: Tensor) -> Tensor:
    """Store a flow as float16 below 64 pixels, where that moves no pixel by more than 1/64, else as float32."""
    return flow.half() if bool(flow.abs().max() < 64) else flow
