"""What a table comes to, in words: which lines are worse than the network frame by frame, and whether that is noise."""

from __future__ import annotations

import math
from collections.abc import Sequence

from netwarp.report.reproduce.results import Result, seed_error

__all__ = ["verdicts"]

MANY = 4
"""Lines from which on it is said that they are many."""

BEYOND = 0.05
"""Share of differences that chance alone puts beyond twice their standard error."""


def verdicts(results: Sequence[Result]) -> list[str]:
    """Sentences on IoU: how large the noise is, then what is below the base, then what is below the control.

    Args:
        results: Of a table's lines.
    """
    netwarps = [result for result in results if result.line.kind == "netwarp" and result.to_base]
    if not netwarps:
        return []
    said = [_noise(results, netwarps)]
    if len(netwarps) >= MANY and any(math.isfinite(r.noise) for r in netwarps):
        said.append(
            f"{len(netwarps)} lines are compared at once: where none differed at all, chance alone would put about "
            f"{BEYOND * len(netwarps):.1f} of them beyond their noise, so that one that is says little."
        )
    gains = [(r.line.name, r.to_base["IoU"].mean, r.noise) for r in netwarps]
    said.append(_against(gains, "the network frame by frame"))
    controlled = [r for r in netwarps if r.to_control]
    if controlled:
        gains = [(r.line.name, r.to_control["IoU"].mean, r.control_noise) for r in controlled]
        said.append(_against(gains, "the control, trained alike without video,"))
    return said


def _noise(results: Sequence[Result], netwarps: Sequence[Result]) -> str:
    noise = [result.noise for result in netwarps if math.isfinite(result.noise)]
    if not noise:
        return "Noise is not known: that takes two seeds, or two clips to test on. Every difference counts below."
    trained = [result for result in results if result.to_base]
    by_seed = seed_error(results)
    sources = ["of the choice of the clips that are tested on (jackknife, line by line)"]
    if math.isfinite(by_seed):
        seeds = min(result.scores["IoU"].count for result in trained)
        sources.insert(
            0, f"of chance in training ({by_seed:.2f}: {seeds} seeds, their deviation pooled over {len(trained)} lines)"
        )
    alone = "" if math.isfinite(by_seed) else " Chance in training is not in it, as there is one seed."
    span = f"{min(noise):.2f}" if len(noise) == 1 else f"{min(noise):.2f} to {max(noise):.2f}"
    return (
        f"Noise is twice the standard error of a difference in IoU, {span} points here, {' and '.join(sources)}.{alone}"
    )


def _against(gains: Sequence[tuple[str, float, float]], other: str) -> str:
    limits = [(name, gain, noise if math.isfinite(noise) else 0.0) for name, gain, noise in gains]
    known = any(math.isfinite(noise) for _, _, noise in gains)
    beyond = "by more than noise" if known else "at all"
    worse = [f"{name} ({gain:+.2f})".replace("-", "−") for name, gain, limit in limits if gain < -limit]
    better = sum(gain > limit for _, gain, limit in limits)
    above = sum(gain > 0 for _, gain, _ in limits)
    counts = (
        f"Of {len(limits)}, {above} are above it, {better} of them {beyond}."
        if len(limits) > 1
        else (f"It is {'above' if above else 'not above'} it{f', {beyond}' if better and known else ''}.")
    )
    if not worse:
        return f"No NetWarp is worse than {other} {beyond}. {counts}"
    return f"Worse than {other} {beyond}: {'; '.join(worse)}. {counts}"
