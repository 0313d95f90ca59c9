"""Folders that the results of networks are written into, a file a frame: values, and maps of several outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import PIL.Image

from netwarp.video.label_maps import MaskFolder, write_marked


class MapFolder(AbstractContextManager["MapFolder"], Protocol):
    """Writes one file a frame, named as the frame or, for video, by its six-digit index; in a ``with`` block."""

    def write(self, labels: npt.NDArray[Any], index: int, name: str | None = None) -> Path:
        """Write one frame's map ``[H,W]``, or maps ``[C,H,W]``, and return the file."""


class FolderPerName:
    """Writes maps ``[C,H,W]`` into folders, one for each of C names; ``make`` opens one."""

    def __init__(self, place: Path, names: Sequence[str], make: Callable[[Path, int], MapFolder]) -> None:
        safe = ["".join(c if c.isalnum() or c in " -_" else "_" for c in name).strip() for name in names]
        unique = [f"{n:02d}" if not name or name in safe[:n] else name for n, name in enumerate(safe)]
        self._folders = [make(place / name, number) for number, name in enumerate(unique)]

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for folder in self._folders:
                stack.enter_context(folder)
            self._open = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *more: Any) -> None:  # noqa: ANN401
        self._open.__exit__(kind, *more)

    def write(self, labels: npt.NDArray[Any], index: int, name: str | None = None) -> Path:
        """See :class:`MapFolder`."""
        return [folder.write(each, index, name) for folder, each in zip(self._folders, labels, strict=True)][-1]


class ValueFolder(MaskFolder):
    """Writes values ``[H,W]``: as they are into 32-bit TIFF, or within a range into 16-bit PNG.

    In PNG 0 is the range's lower end or less, 65535 its upper end or more.
    """

    def __init__(
        self,
        folder: str | Path,
        value_range: tuple[float, float] | None = None,
        *,
        inputs: Iterable[Path] = (),
        clean: bool = False,
    ) -> None:
        super().__init__(folder, inputs=inputs, clean=clean)
        self._range, self.ending = value_range, ".tiff" if value_range is None else ".png"

    def _save(self, path: Path, labels: npt.NDArray[Any]) -> None:
        if self._range is None:
            values = labels.astype(np.float32)
        else:
            values = np.round(65535 * np.clip(_share(labels, self._range), 0, 1)).astype(np.uint16)
        write_marked(path, PIL.Image.fromarray(values))


class ValuePainter:
    """Shows values ``[H,W]`` (of several outputs the first) as colours, dark where they are low.

    Without a range it is that of the first frame, but for the lowest and highest hundredth, so that one colour is one
    value in the whole video.
    """

    def __init__(self, value_range: tuple[float, float] | None = None) -> None:
        self._range = value_range

    def __call__(self, image: npt.NDArray[np.uint8], labels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Draw a frame's values; the frame itself is not seen."""
        import cv2

        values = labels if labels.ndim == 2 else labels[0]
        if self._range is None:
            low, high = np.percentile(values, (1, 99))
            self._range = float(low), float(high)
        share = np.clip(_share(values, self._range), 0, 1)
        coloured = cv2.applyColorMap(np.round(255 * share).astype(np.uint8), cv2.COLORMAP_INFERNO)
        return np.ascontiguousarray(coloured[..., ::-1])


def _share(values: npt.NDArray[Any], value_range: tuple[float, float]) -> npt.NDArray[np.float64]:
    low, high = value_range
    return np.nan_to_num((values.astype(np.float64) - low) / max(high - low, 1e-12))
