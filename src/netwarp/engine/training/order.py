"""What comes when: every choice by chance follows from the seed and the number of what it is made for.

Nothing is drawn one after the other. Step 700 takes the same clips, views and random numbers whether the 699 before it
ran in this process or in one that was killed; and two devices with batches of 4 take what one takes with batches of 8.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["clip_at", "torch_seed", "view_generator"]

LABELLED, UNLABELLED = 0, 1
"""Two orders that have nothing to do with each other."""

_ORDER, _VIEW, _TORCH = range(3)


def clip_at(position: int, count: int, seed: int, stream: int = LABELLED) -> int:
    """Which clip is the ``position``-th to be trained on: all of them once in random order, then again in another.

    Args:
        position: From 0 on, without end.
        count: Number of clips, at least 1.
        seed: Of the order.
        stream: :data:`LABELLED` or :data:`UNLABELLED`.

    Returns:
        0 … ``count − 1``.

    Example:
        >>> sorted(clip_at(position, 4, seed=0) for position in range(4))
        [0, 1, 2, 3]
    """
    times, place = divmod(position, count)
    return int(_permutation(times, count, seed, stream)[place])


# One for what is trained on, one for what has no labels, and those that a batch across the end also needs.
@lru_cache(maxsize=4)
def _permutation(times: int, count: int, seed: int, stream: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, _ORDER, stream, times]).permutation(count)


def view_generator(position: int, seed: int, stream: int = LABELLED) -> np.random.Generator:
    """What the view of the ``position``-th clip is drawn with."""
    return np.random.default_rng([seed, _VIEW, stream, position])


def torch_seed(step: int, part: int, rank: int, seed: int) -> int:
    """Seed of torch's random numbers (dropout) in a batch.

    Args:
        step: Number of the step.
        part: Number of the batch in the step.
        rank: Number of the process.
        seed: Of the training.

    Returns:
        0 … 2⁶³ − 1.
    """
    state = np.random.SeedSequence([seed, _TORCH, step, part, rank]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
