"""What is slow to make, kept: the latest in memory, all of it on disk."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwarp.atomic import written_whole
from netwarp.data.output_path import reason
from netwarp.errors import ConfigurationError, OutputError

__all__ = ["DiskCache", "RecentArrays", "compact_flow", "flow_key"]

Array = NDArray[Any]

FLOW_FORMAT = 1
"""Raised whenever the same frames and settings would be kept as other bytes: flows in folders are then made anew."""


class RecentArrays:
    """Arrays in memory, the latest used, up to a number of bytes.

    A pickle of it is empty: what a worker process reads is its own.

    Args:
        budget: Bytes; 0 keeps nothing.

    Raises:
        ConfigurationError: ``budget`` is negative.
    """

    def __init__(self, budget: int) -> None:
        if budget < 0:
            raise ConfigurationError(f"memory for frames must be 0 bytes or more, not {budget}")
        self.budget = budget
        self.held = 0
        self._arrays: OrderedDict[Hashable, Array] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Array]) -> Array:
        """The array of a key, made if it is not held. Whoever changes it changes what is held."""
        if key in self._arrays:
            self._arrays.move_to_end(key)
            return self._arrays[key]
        array = make()
        if array.nbytes <= self.budget:
            self._arrays[key] = array
            self.held += array.nbytes
        while self.held > self.budget:
            self.held -= self._arrays.popitem(last=False)[1].nbytes
        return array

    def __getstate__(self) -> dict[str, Any]:
        return {"budget": self.budget, "held": 0, "_arrays": OrderedDict()}


class DiskCache:
    """Arrays in a folder, one ``.npz`` a key. Several processes may use one folder at once.

    Args:
        folder: Is made when the first array is kept.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def get(self, key: str, make: Callable[[], Array]) -> Array:
        """The array of a key, made and kept if there is none or a damaged one.

        Args:
            key: Holds all that the array depends on; the file's name.
            make: Makes the array.

        Returns:
            The array.

        Raises:
            OutputError: It cannot be kept.
        """
        # Two characters of the key are a folder: some file systems are slow with a hundred thousand files in one.
        path = self.folder / key[:2] / f"{key}.npz"
        found = _stored(path)
        if found is not None:
            return found
        array = make()
        try:
            with written_whole(path) as file:
                np.savez(file, array=array)
        except OSError as error:
            raise OutputError(
                f"cannot keep flow in {self.folder} ({reason(error)}): free space or name another folder"
            ) from error
        return array


def _stored(path: Path) -> Array | None:
    """What a file holds; None where there is none or a damaged one, which the archive's checksum tells."""
    try:
        with np.load(path) as stored:
            array: Array = stored["array"]
            return array
    except (OSError, EOFError, ValueError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        return None


def flow_key(current: NDArray[np.uint8], previous: NDArray[np.uint8], settings: str) -> str:
    """A name for the flow between two frames: their content and how it is estimated.

    Args:
        current: ``[H,W,3]`` uint8.
        previous: ``[H,W,3]`` uint8.
        settings: Text that names the estimator and all its settings.

    Returns:
        Hexadecimal digits.
    """
    digest = hashlib.sha256(repr((FLOW_FORMAT, settings, current.shape, previous.shape)).encode())
    digest.update(np.ascontiguousarray(current).data)
    digest.update(np.ascontiguousarray(previous).data)
    return digest.hexdigest()[:40]


def compact_flow(flow: NDArray[np.float32]) -> Array:
    """A flow in half the bytes where that moves no pixel by more than 1/64: float16 below 64 pixels, else float32.

    Args:
        flow: ``[2,H,W]`` float32.

    Returns:
        ``[2,H,W]`` float16, or the flow itself.
    """
    return flow.astype(np.float16) if np.abs(flow).max(initial=0) < 64 else flow
