"""What a table comes to, in words: which lines are worse than the network frame by frame, and whether that is noise."""

from __future__ import annotations

import math
from collections.abc import Sequence

from netwarp.report.reproduce.results import Result, noise_of

__all__ = ["verdicts"]


def verdicts(results: Sequence[Result]) -> list[str]:
    """Sentences on IoU: how large the noise is, then what is below the base, then what is below the control.

    Args:
        results: Of a table's lines.
    """
    netwarps = [result for result in results if result.line.kind == "netwarp" and result.to_base]
    if not netwarps:
        return []
    noise = noise_of(results)
    if math.isfinite(noise):
        trained = [result for result in results if result.to_base]
        seeds = min(result.scores["IoU"].count for result in trained)
        said = [
            f"Noise: {noise:.2f} points of IoU, twice the standard error of a mean over {seeds} seeds, whose deviation "
            f"is pooled over {len(trained)} trained lines."
        ]
        threshold, beyond = noise, "by more than noise"
    else:
        said = ["Noise is not known: it takes at least two seeds. Every difference counts below."]
        threshold, beyond = 0.0, "at all"
    said += _against(netwarps, "to_base", "the network frame by frame", threshold, beyond)
    if any(result.to_control for result in netwarps):
        said += _against(netwarps, "to_control", "the control, trained alike without video,", threshold, beyond)
    return said


def _against(netwarps: Sequence[Result], which: str, other: str, threshold: float, beyond: str) -> list[str]:
    gains = [(r.line.name, getattr(r, which)["IoU"].mean) for r in netwarps if getattr(r, which)]
    worse = [(name, gain) for name, gain in gains if gain < -threshold]
    better = [name for name, gain in gains if gain > threshold]
    count = f"{len(better)} of {len(gains)}"
    if not worse:
        return [f"No NetWarp is worse than {other} {beyond}; {count} are better {beyond}."]
    named = "; ".join(f"{name} ({gain:+.2f})".replace("-", "−") for name, gain in worse)
    return [f"Worse than {other} {beyond}: {named}. {count} are better {beyond}."]
