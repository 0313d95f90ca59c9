"""Times that can be compared: functions that take turns, medians of rounds, ratios within rounds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

Item = TypeVar("Item")

Clock = Callable[[Callable[[], object], int], float]
"""Runs a function so many times and gives the seconds of one run."""

WORTH = 2e-3
"""Seconds that a function is repeated for within a round, as a single run of microseconds says little."""

MOST = 200


@dataclass(frozen=True)
class Rounds:
    """What took how long, round by round."""

    seconds: Mapping[Any, Sequence[float]]  # of each function, one value a round

    def ms(self, name: Hashable) -> float | None:
        """Median over rounds, in milliseconds; None where that took no part."""
        return 1000 * statistics.median(self.seconds[name]) if name in self.seconds else None

    def ratio(self, name: Hashable, to: Hashable, factor: float = 1) -> float | None:
        """Median of the rounds' ratios: what a machine that slows down for a while disturbs least.

        Multiplied by ``factor``; None where one took no part.
        """
        if name not in self.seconds or to not in self.seconds:
            return None
        pairs = zip(self.seconds[name], self.seconds[to], strict=True)
        return factor * statistics.median(ours / theirs for ours, theirs in pairs)


def alternating(functions: Mapping[str, Callable[[], object]], rounds: int, clock: Clock) -> Rounds:
    """Time functions in turn, each round beginning with another one.

    Each runs twice before: once for all that happens only once, once to see how often a round has to repeat it.
    """
    repeats = {}
    for name, function in functions.items():
        clock(function, 1)
        repeats[name] = max(1, min(MOST, int(WORTH / max(clock(function, 1), 1e-9))))
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(rounds):
        for name in in_turn(list(functions), number):
            seconds[name].append(clock(functions[name], repeats[name]))
    return Rounds(seconds)


def in_turn(items: Sequence[Item], number: int) -> list[Item]:
    """The order of a round, so that none always follows the same one's heat and cache.

    >>> in_turn(["a", "b", "c"], 1)
    ['b', 'c', 'a']
    """
    first = number % len(items)
    return [*items[first:], *items[:first]]


def clock_for(device: str, cpu_time: bool = False) -> Clock:
    """What times on a device: a GPU's own events, else the wall's clock."""
    now = time.process_time if cpu_time else time.perf_counter

    def on_cpu(function: Callable[[], object], repeats: int) -> float:
        began = now()
        for _ in range(repeats):
            function()
        return (now() - began) / repeats

    def on_gpu(function: Callable[[], object], repeats: int) -> float:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        with torch.cuda.device(device):
            torch.cuda.synchronize()
            begin.record()
            for _ in range(repeats):
                function()
            end.record()
            end.synchronize()
        return float(begin.elapsed_time(end)) / 1000 / repeats

    return on_gpu if torch.device(device).type == "cuda" else on_cpu
