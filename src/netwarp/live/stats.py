"""What a live stream counts: rates, latency, the age of labels, and what was dropped."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from statistics import median, quantiles
from typing import Any

WINDOW = 5.0
"""Seconds that rates and latencies are of."""
MOST = 4096
"""Events that are kept of each kind, at most: the window is shorter where there are more."""


class LiveStats:
    """Counts of the last seconds, from any thread, in memory that does not grow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._events: dict[str, deque[tuple[float, float]]] = {
            name: deque(maxlen=MOST) for name in ("camera", "network", "label", "age")
        }
        self._began = clock()
        self.dropped = 0
        self.state = "waiting for the first labels"

    def camera(self) -> float:
        """Count a frame of the camera; returns the time, for :meth:`label`."""
        return self._count("camera")

    def network(self) -> None:
        """Count an answer of the network."""
        self._count("network")

    def label(self, taken: float, age: int) -> float:
        """Count a frame with its labels, ``age`` frames older than it; returns the seconds since it was taken."""
        latency = self._clock() - taken
        self._count("label", latency)
        self._count("age", age)
        self.state = "running"
        return latency

    def _count(self, kind: str, value: float = 0.0) -> float:
        with self._lock:
            now = self._clock()
            self._events[kind].append((now, value))
        return now

    def _values(self, kind: str) -> list[float]:
        events, since = self._events[kind], self._clock() - WINDOW
        with self._lock:
            while events and events[0][0] < since:
                events.popleft()
            return [value for _, value in events]

    def _rate(self, kind: str) -> float:
        count, events = len(self._values(kind)), self._events[kind]
        if count == MOST:
            return count / max(self._clock() - events[0][0], 1e-9)
        return count / max(min(WINDOW, self._clock() - self._began), 1e-9)

    def as_json(self) -> dict[str, Any]:
        """The numbers of ``/stats``."""
        latency, ages = sorted(1000 * seconds for seconds in self._values("label")), self._values("age")
        p95 = quantiles(latency, n=20, method="inclusive")[-1] if len(latency) > 1 else sum(latency, 0.0)
        return {
            "camera_fps": round(self._rate("camera"), 2),
            "label_fps": round(self._rate("label"), 2),
            "network_fps": round(self._rate("network"), 2),
            "latency_ms": {"median": round(median(latency or [0.0]), 1), "p95": round(p95, 1)},
            "label_age_frames": round(sum(ages) / max(len(ages), 1), 2),
            "dropped": self.dropped,
            "state": self.state,
        }

    def as_prometheus(self) -> str:
        """The same for ``/metrics``, in Prometheus' text form."""
        return "\n".join(_lines(self.as_json())) + "\n"


def _lines(numbers: dict[str, Any]) -> Iterator[str]:
    for name, text in (
        ("camera_fps", "Frames a second of the camera."),
        ("label_fps", "Labelled frames a second."),
        ("network_fps", "Passes of the network a second."),
        ("label_age_frames", "Frames between a labelled one and the one that the network saw, on average."),
    ):
        yield from (f"# HELP netwarp_{name} {text}", f"# TYPE netwarp_{name} gauge", f"netwarp_{name} {numbers[name]}")
    yield "# HELP netwarp_latency_ms Milliseconds from a frame to its labels."
    yield "# TYPE netwarp_latency_ms gauge"
    for name, share in (("median", "0.5"), ("p95", "0.95")):
        yield f'netwarp_latency_ms{{quantile="{share}"}} {numbers["latency_ms"][name]}'
    yield "# HELP netwarp_dropped_total Frames of the camera that nobody had time for."
    yield from ("# TYPE netwarp_dropped_total counter", f"netwarp_dropped_total {numbers['dropped']}")
