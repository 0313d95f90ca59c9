"""Flow that was estimated before, read from a folder."""

from __future__ import annotations

import re
from pathlib import Path

from torch import Tensor

from netwarp.errors import ConfigurationError, InputError
from netwarp.flow.estimator import check_frames
from netwarp.flow.flo import read_flo


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
        self.folder = Path(folder)
        self.first = first
        self.step = step
        self._files = _numbered(self.folder)

    @property
    def spec(self) -> str:
        """The text that :func:`netwarp.flow.make_flow` turns into an equal estimator."""
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
        number = self.first + self.step * index
        path = self._files.get(number)
        if path is None:
            raise InputError(
                f"no precomputed flow for frame {index}: {self.folder} has no .flo file of number {number} "
                f"(it has {min(self._files)} to {max(self._files)}; first={self.first}, step={self.step})"
            )
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
