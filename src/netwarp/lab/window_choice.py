"""Where two labellings of a video differ most on thin things, for better and for worse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Place:
    """A window of a video over a few consecutive frames."""

    clip: int  # number of the clip
    frame: int  # the first frame, in its clip
    top: int  # first row
    left: int  # first column
    # pixels that the second labelling has right and the first has wrong, less those the other way round, over all
    # frames of the window. Counted are pixels that are thin things or that either labelling takes for one: a false
    # alarm is as wrong as a miss
    gain: int
    pixels: int  # how many were counted


@dataclass(frozen=True)
class Choice:
    """Places, and what they were chosen from."""

    best: tuple[Place, ...]  # with the greatest gain, from different parts of the video
    typical: Place | None  # with the median gain of all windows where the labellings differ; None if there is none
    worst: Place | None  # with the greatest loss; None where no window has one
    better: int  # number of windows with a gain
    worse: int  # number of windows with a loss
    same: int  # number of windows with neither


def choose_places(
    truth: Sequence[Labels],
    first: Sequence[Labels],
    second: Sequence[Labels],
    thin: Sequence[int],
    *,
    window: tuple[int, int] = (60, 80),
    frames: int = 4,
    best: int = 2,
    least_share: float = 0.02,
) -> Choice:
    """Choose places by counting alone.

    Windows lie on a grid of half their size and half their duration. Those with next to no pixels of thin things
    are left out.
    """
    places: list[Place] = []
    for clip, (wanted, one, other) in enumerate(zip(truth, first, second, strict=True)):
        is_thin = np.isin(wanted, thin)
        counted = is_thin | np.isin(one, thin) | np.isin(other, thin)
        gain = np.where(counted, (other == wanted).astype(np.int32) - (one == wanted), 0)
        gains, pixels = _sums(gain, window, frames), _sums(counted, window, frames)
        holds = _sums(is_thin, window, frames) >= least_share * frames * window[0] * window[1]
        t, y, x = np.nonzero(holds)
        steps = _steps(window, frames)
        places += [
            Place(
                clip, int(a * steps[0]), int(b * steps[1]), int(c * steps[2]), int(gains[a, b, c]), int(pixels[a, b, c])
            )
            for a, b, c in zip(t, y, x, strict=True)
        ]
    by_gain = sorted(places, key=lambda p: (-p.gain, p.clip, p.frame, p.top, p.left))
    better, worse = sum(p.gain > 0 for p in places), sum(p.gain < 0 for p in places)
    changed = [p for p in by_gain if p.gain]
    return Choice(
        best=_apart([p for p in by_gain if p.gain > 0], best, window, frames),
        typical=changed[len(changed) // 2] if changed else None,
        worst=by_gain[-1] if worse else None,
        better=better,
        worse=worse,
        same=len(places) - better - worse,
    )


def _steps(window: tuple[int, int], frames: int) -> tuple[int, int, int]:
    return max(frames // 2, 1), max(window[0] // 2, 1), max(window[1] // 2, 1)


def _sums(counts: npt.NDArray[np.generic], window: tuple[int, int], frames: int) -> npt.NDArray[np.int64]:
    """Sums of ``counts`` ``[T,H,W]`` over all windows of the grid."""
    total = np.pad(counts.astype(np.int64).cumsum(0).cumsum(1).cumsum(2), ((1, 0), (1, 0), (1, 0)))
    for axis, (size, step) in enumerate(zip((frames, *window), _steps(window, frames), strict=True)):
        starts = np.arange(0, max(counts.shape[axis] - size, -1) + 1, step)
        total = total.take(starts + size, axis) - total.take(starts, axis)
    return np.asarray(total, np.int64)


def _apart(places: Sequence[Place], count: int, window: tuple[int, int], frames: int) -> tuple[Place, ...]:
    """The first of ``places`` that do not overlap in time or place; from other clips as long as there are any."""
    chosen: list[Place] = []
    for fresh_clip in (True, False):
        for place in places:
            if len(chosen) == count:
                break
            clips = {p.clip for p in chosen}
            overlaps = any(
                p.clip == place.clip
                and abs(p.frame - place.frame) < 2 * frames
                and abs(p.top - place.top) < window[0]
                and abs(p.left - place.left) < window[1]
                for p in chosen
            )
            if not overlaps and not (fresh_clip and place.clip in clips):
                chosen.append(place)
    return tuple(chosen)
