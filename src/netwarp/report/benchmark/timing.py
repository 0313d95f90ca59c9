"""Times that can be compared: functions that take turns, medians of rounds, ratios within rounds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

__all__ = ["Clock", "Rounds", "alternating", "clock_for", "in_turn"]

Item = TypeVar("Item")

Clock = Callable[[Callable[[], object], int], float]
"""Runs a function so many times and gives the seconds of one run."""

WORTH = 2e-3
"""Seconds that a function is repeated for within a round, as a single run of microseconds says little."""

MOST = 200


@dataclass(frozen=True)
class Rounds:
    """What took how long, round by round.

    Attributes:
        seconds: Of each function, one value a round.
    """

    seconds: Mapping[str, Sequence[float]]

    def ms(self, name: str) -> float:
        """Median over rounds, in milliseconds."""
        return 1000 * statistics.median(self.seconds[name])

    def ratio(self, name: str, to: str) -> float:
        """Median of the rounds' ratios: what a machine that slows down for a while disturbs least."""
        return statistics.median(a / b for a, b in zip(self.seconds[name], self.seconds[to], strict=True))

    def ms_of(self, name: str) -> float | None:
        """:meth:`ms`, or None where that took no part."""
        return self.ms(name) if name in self.seconds else None

    def ratio_of(self, name: str, to: str) -> float | None:
        """:meth:`ratio`, or None where one took no part."""
        return self.ratio(name, to) if name in self.seconds and to in self.seconds else None


def alternating(functions: Mapping[str, Callable[[], object]], rounds: int, clock: Clock) -> Rounds:
    """Time functions in turn, each round beginning with another one.

    Each runs twice before: once for all that happens only once, once to see how often a round has to repeat it.

    Args:
        functions: By name.
        rounds: How often each is timed.
        clock: Times it.
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
    """What times on a device: a GPU's own events, else the wall's clock.

    Args:
        device: In torch's words.
        cpu_time: On a CPU, count the time of all of this process's threads instead: for a machine that others use.
    """
    if torch.device(device).type == "cuda":
        return _events(torch.device(device))
    return _reading(time.process_time if cpu_time else time.perf_counter)


def _reading(now: Callable[[], float]) -> Clock:
    def clock(function: Callable[[], object], repeats: int) -> float:
        began = now()
        for _ in range(repeats):
            function()
        return (now() - began) / repeats

    return clock


def _events(device: torch.device) -> Clock:
    def clock(function: Callable[[], object], repeats: int) -> float:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        with torch.cuda.device(device):
            torch.cuda.synchronize()
            begin.record()
            for _ in range(repeats):
                function()
            end.record()
            end.synchronize()
        return float(begin.elapsed_time(end)) / 1000 / repeats

    return clock
