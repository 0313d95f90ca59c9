"""Rendered clips as a data set: a sequence of clips, and their pairs of frames for training."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast, overload

import cv2
import numpy as np
from numpy.typing import NDArray

from netwarp.errors import ConfigurationError
from netwarp.kept_arrays import load_arrays
from netwarp.output_files import atomic_write
from netwarp.streets.clip import StreetFrame, check_settings, render_clip
from netwarp.streets.effects import Effects

RENDERING = 2
"""Raised whenever a clip's file holds something else for the same settings: clips kept in folders are then made anew.
2 draws the bytes that 1 drew, and numbers the objects besides."""

_KEPT = ("image", "labels", "instances", "flow", "visible")


class StreetPair(NamedTuple):
    """Two frames that follow each other, and the truth about the second."""

    previous: NDArray[np.uint8]  # [H,W,3] uint8 RGB
    current: NDArray[np.uint8]  # [H,W,3] uint8 RGB
    labels: NDArray[np.uint8]  # [H,W] uint8 classes of current
    flow: NDArray[np.float32]  # [2,H,W] float32 backward flow from current to previous, pixels
    visible: NDArray[np.bool_]  # [H,W] bool, where previous shows what current shows


class Streets(Sequence[list[StreetFrame]]):
    """Clips named by seeds; a clip is rendered when it is asked for.

    Seeds of training and testing must differ, and nothing else need: ``Streets(range(16))`` and
    ``Streets(range(1000, 1004))`` share no street.

    >>> streets = Streets(range(2), frames=3, size=(36, 64))
    >>> len(streets), len(streets[1]), len(streets.pairs())
    (2, 3, 4)
    """

    def __init__(
        self,
        seeds: Sequence[int],
        frames: int = 30,
        size: tuple[int, int] = (180, 320),
        fps: float = 15.0,
        *,
        effects: Effects | None = None,
        weather: str | None = None,
    ) -> None:
        for seed in seeds:
            check_settings(seed, frames, size, fps, weather)
        self.seeds, self.frames, self.size, self.fps = list(seeds), frames, size, fps
        self.effects, self.weather = effects or Effects(), weather

    def __len__(self) -> int:
        return len(self.seeds)

    @overload
    def __getitem__(self, index: int) -> list[StreetFrame]: ...
    @overload
    def __getitem__(self, index: slice) -> Streets: ...
    def __getitem__(self, index: int | slice) -> list[StreetFrame] | Streets:
        """All frames of one clip; a slice gives a data set of fewer clips."""
        if isinstance(index, slice):
            return Streets(
                self.seeds[index], self.frames, self.size, self.fps, effects=self.effects, weather=self.weather
            )
        return list(self.clip(index))

    @property
    def origin(self) -> str:
        """All that a clip's bytes follow from besides its seed, OpenCV's way of drawing and compressing included."""
        return repr((RENDERING, cv2.__version__, self.frames, self.size, self.fps, self.effects, self.weather))

    def clip(self, index: int) -> Iterator[StreetFrame]:
        """The frames of one clip, each rendered when it is asked for."""
        return render_clip(
            self.seeds[index], self.frames, self.size, self.fps, effects=self.effects, weather=self.weather
        )

    def pairs(self, cache: Path | str | None = None, keep: int | None = None) -> StreetPairs:
        """All pairs of frames that follow each other, as a random-access sequence. See :class:`StreetPairs`."""
        return StreetPairs(self, cache, keep)


class StreetPairs(Sequence[StreetPair]):
    """Pairs of frames of all clips, in order; a clip is rendered once, when its first pair is asked for.

    A sequence with a length: ``torch.utils.data.DataLoader`` takes it as it is.
    """

    def __init__(self, streets: Streets, cache: Path | str | None = None, keep: int | None = None) -> None:
        if streets.frames < 2:
            raise ConfigurationError("pairs need clips of at least 2 frames: give frames=2 or more")
        if keep is not None and keep < 1:
            raise ConfigurationError(f"keep must be at least 1, not {keep}")
        self.streets, self.keep = streets, keep
        self.cache = None if cache is None else Path(cache)
        self._clips: OrderedDict[int, dict[str, NDArray[np.generic]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self.streets) * (self.streets.frames - 1)

    @overload
    def __getitem__(self, index: int) -> StreetPair: ...
    @overload
    def __getitem__(self, index: slice) -> list[StreetPair]: ...
    def __getitem__(self, index: int | slice) -> StreetPair | list[StreetPair]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)}")
        clip, frame = divmod(index % len(self), self.streets.frames - 1)
        arrays = self.arrays(clip)
        images = arrays["image"]
        return StreetPair(
            images[frame], images[frame + 1], *(arrays[k][frame + 1] for k in ("labels", "flow", "visible"))
        )

    def arrays(self, number: int) -> dict[str, NDArray[np.generic]]:
        """One whole clip: ``image``, ``labels``, ``instances``, ``flow`` and ``visible``, each stacked over its frames.

        From memory, the folder, or the renderer. They are not copied: changing them changes what is kept.
        """
        if number in self._clips:
            self._clips.move_to_end(number)
            return self._clips[number]
        file = self._file(number)
        arrays = None if file is None else self._stored(file)
        if arrays is None:
            frames = list(self.streets.clip(number))
            arrays = {key: np.stack([getattr(f, key) for f in frames]) for key in _KEPT}
            if file is not None:
                self._store(file, arrays)
        self._clips[number] = arrays
        if self.keep is not None and len(self._clips) > self.keep:
            self._clips.popitem(last=False)
        return arrays

    def _file(self, number: int) -> Path | None:
        """Where a clip is kept; the name tells apart all settings that its bytes depend on."""
        if self.cache is None:
            return None
        key = hashlib.sha256(self.streets.origin.encode()).hexdigest()[:12]
        return self.cache / f"street-{self.streets.seeds[number]}-{key}.npz"

    @staticmethod
    def _stored(file: Path) -> dict[str, NDArray[np.generic]] | None:
        """What a file holds; None where there is none, or a damaged one, which costs no more than rendering again."""
        arrays = load_arrays(file)
        return arrays if arrays is not None and set(_KEPT) <= set(arrays) else None

    @staticmethod
    def _store(file: Path, arrays: dict[str, NDArray[np.generic]]) -> None:
        """A reader, or a second process that renders the same, never sees half a file."""
        with atomic_write(file, "free space or name another folder for rendered clips") as out:
            np.savez(out, **cast(dict[str, Any], arrays))
