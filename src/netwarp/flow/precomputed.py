"""Flow in .flo files: reading and writing one, and a folder of them as an estimator."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from netwarp.errors import ConfigurationError, InputError
from netwarp.flow.estimator import check_frames
from netwarp.input_files import check_regular, expanded
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
    path = expanded(path)
    check_regular(path)
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


class PrecomputedFlow:
    """Reads each frame's backward flow from a folder of ``.flo`` files.

    A file belongs to the frame whose number is the last number in its name (``000012.flo``, ``left_12.flo``,
    ``0016E5_00012.flo`` are number 12), never to its place in the list, so that a missing file cannot shift
    all that follow. Frame ``index`` of the video has number ``first + step * index``.

    The flow of several clips lies in sub-folders that have the clips' names: :meth:`in_clip` takes one of them.
    """

    on_cpu = True

    def __init__(self, folder: str | Path, first: int = 0, step: int = 1) -> None:
        if first < 0 or step < 1:
            raise ConfigurationError(f"first must be at least 0 and step at least 1, not {first} and {step}")
        self.folder = expanded(folder)
        self.first = first
        self.step = step
        self._files = _numbered(self.folder)

    @property
    def spec(self) -> str:
        first = f",first={self.first}" if self.first != 0 else ""
        step = f",step={self.step}" if self.step != 1 else ""
        return f"precomputed:{self.folder}{first}{step}"

    def in_clip(self, clip: str) -> PrecomputedFlow:
        """Return the flow of one clip out of several, by the clip's name."""
        folder = self.folder / clip
        if not folder.is_dir():
            raise InputError(
                f"{self.folder} holds no folder {clip} with that clip's flow: "
                "for several clips, give each a sub-folder that has its name"
            )
        return PrecomputedFlow(folder, self.first, self.step)

    def path_of(self, index: int) -> Path:
        """The file with the flow of frame ``index`` of a video. Raises InputError where there is none."""
        number = self.first + self.step * index
        path = self._files.get(number)
        if path is None:
            there = f"it has {min(self._files)} to {max(self._files)}" if self._files else "it has none"
            raise InputError(
                f"no precomputed flow for frame {index}: {self.folder} has no .flo file of number {number} "
                f"({there}; first={self.first}, step={self.step})"
            )
        return path

    def __call__(self, current: Tensor, previous: Tensor, index: int | None = None) -> Tensor:
        """Look the flow of frame ``index`` up; see :class:`netwarp.flow.FlowEstimator`."""
        check_frames(current, previous)
        if not self._files:
            raise InputError(
                f"{self.folder} holds folders with the flow of several clips: name one of them for a single video"
            )
        if index is None:
            raise InputError(
                "precomputed flow is looked up by frame number: pass index=, the number of the current frame "
                "in its video, or the flow itself as flow="
            )
        if current.shape[0] != 1:
            raise InputError(
                f"precomputed flow is looked up for one frame at a time, not {current.shape[0]}: pass it as flow="
            )
        path = self.path_of(index)
        flow = read_flo(path)
        if flow.shape[-2:] != current.shape[-2:]:
            (h, w), (frame_h, frame_w) = flow.shape[-2:], current.shape[-2:]
            raise InputError(
                f"{path} is {w}×{h}, but the frame is {frame_w}×{frame_h}: "
                "resize it (netwarp.resize_flow scales the values too), or estimate it at the frame's size"
            )
        return flow.to(current.device)

    def __repr__(self) -> str:
        return f"PrecomputedFlow({str(self.folder)!r}, first={self.first}, step={self.step})"


def _numbered(folder: Path) -> dict[int, Path]:
    if not folder.is_dir():
        raise InputError(f"no folder of precomputed flow at {folder}")
    files: dict[int, Path] = {}
    for path in sorted(folder.glob("*.flo")):
        numbers = re.findall(r"\d+", path.stem)
        if not numbers:
            continue
        other = files.setdefault(int(numbers[-1]), path)
        if other != path:
            raise InputError(
                f"{other.name} and {path.name} in {folder} both have number {int(numbers[-1])}: "
                "keep the flow of one video in a folder"
            )
    if not files and next(folder.glob("*/**/*.flo"), None) is None:
        raise InputError(f"{folder} holds no .flo file with a number in its name, such as 000001.flo")
    return files
