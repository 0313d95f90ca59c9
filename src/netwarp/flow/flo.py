"""Middlebury ``.flo`` files, the common format for a dense flow field.

Twelve bytes of header (the float 202021.25, which spells ``PIEH``; width; height), then u and v of each pixel in turn,
row by row; all little-endian, 32 bits each.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from netwarp.errors import InputError
from netwarp.output_files import atomic_write

MAGIC = b"PIEH"
HEADER = struct.Struct("<4sii")

# The format's own sign for "no flow known here": any component above this.
UNKNOWN = 1e9


def read_flo(path: str | Path) -> Tensor:
    """Read a flow field, float32 ``[1,2,H,W]`` on the CPU, channel 0 = u (right), channel 1 = v (down), pixels.

    Its direction is the writer's: netwarp wants backward flow. Values that are not finite or marked as unknown (above
    1e9) are refused.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            header = file.read(HEADER.size)
            if len(header) < HEADER.size or header[:4] != MAGIC:
                raise InputError(f"{path} is not a .flo file: it does not begin with PIEH, width and height")
            _, w, h = HEADER.unpack(header)
            length = os.fstat(file.fileno()).st_size - HEADER.size
            # Compared before anything is allocated: a damaged header may claim any size.
            if w < 1 or h < 1 or length != 8 * w * h:
                raise InputError(
                    f"{path} is damaged: its header says {w}×{h} pixels, which is {8 * w * h} bytes of flow, "
                    f"but it holds {length}"
                )
            content = file.read(length)
    except OSError as error:
        raise InputError(f"cannot read flow from {path}: {error.strerror or error}") from error
    if len(content) != length:
        raise InputError(f"{path} changed while it was read: {len(content)} of {length} bytes are left")
    flow = np.frombuffer(content, dtype="<f4").reshape(h, w, 2)
    if not (np.abs(flow) <= UNKNOWN).all():
        raise InputError(f"{path} has pixels of unknown or non-finite flow: fill them before it is used")
    planes = np.ascontiguousarray(flow.transpose(2, 0, 1)).astype(np.float32)
    return torch.from_numpy(planes)[None]


def write_flo(path: str | Path, flow: Tensor) -> None:
    """Write a flow field ``[2,H,W]`` or ``[1,2,H,W]``, channels as read; the file appears whole or not at all."""
    path = Path(path)
    if flow.ndim == 4 and flow.shape[0] == 1:
        flow = flow[0]
    if flow.ndim != 3 or flow.shape[0] != 2 or 0 in flow.shape:
        raise InputError(f"a .flo file holds one flow [2,H,W], not {list(flow.shape)}")
    values = flow.detach().permute(1, 2, 0).to("cpu", torch.float32).contiguous().numpy()
    if not (np.abs(values) <= UNKNOWN).all():
        raise InputError(f"flow for {path} is not finite everywhere: a .flo file cannot hold it")
    h, w = values.shape[:2]
    with atomic_write(path) as file:
        file.write(HEADER.pack(MAGIC, w, h))
        file.write(values.astype("<f4").tobytes())
