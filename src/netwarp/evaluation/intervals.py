"""How sure figures are: a bootstrap over blocks of ten frames, since neighbouring frames are no independent samples."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from netwarp.metrics import Metric

BLOCK = 10
"""Frames in a block."""

REPLICATES = 300
"""How often blocks are drawn anew."""

Counts = NDArray[np.int64]
Read = Callable[[Mapping[str, Metric]], dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Block:
    """What up to :data:`BLOCK` frames of a clip have added to the counts of all metrics."""

    clip: str
    frames: int  # labelled ones
    places: Counts  # where in all the counts
    added: Counts


def counts_of(metrics: Mapping[str, Metric]) -> Counts:
    """The state of metrics as one vector."""
    return np.concatenate([tensor.flatten().numpy() for metric in metrics.values() for tensor in metric.state()])


def block_between(clip: str, frames: int, before: Counts, after: Counts) -> Block:
    """The block that has brought counts from the one to the other."""
    places = np.flatnonzero(after != before)
    return Block(clip, frames, places, after[places] - before[places])


def of_blocks(metrics: Mapping[str, Metric], blocks: Sequence[Block], read: Read) -> dict[str, Any]:
    """The figures of some blocks, such as a clip's; ``metrics`` are written over."""
    return next(_read(metrics, blocks, np.ones((1, len(blocks)), np.int64), read))


def resampled(metrics: Mapping[str, Metric], blocks: Sequence[Block], read: Read) -> dict[str, Any]:
    """The figures of as many blocks, drawn with replacement: a list by key; nothing where there is but one block.

    Rows of a table draw alike, so that their differences can be taken draw by draw. ``metrics`` are written over.
    """
    rng = np.random.default_rng(zlib.crc32(" ".join(block.clip for block in blocks).encode()))
    times = rng.multinomial(len(blocks), np.full(len(blocks), 1 / len(blocks)), REPLICATES)
    draws = list(_read(metrics, blocks, times, read)) if len(blocks) > 1 else []
    return _joined(draws) if draws else {}


def _read(
    metrics: Mapping[str, Metric], blocks: Sequence[Block], times: Counts, read: Read
) -> Iterator[dict[str, Any]]:
    size = sum(tensor.numel() for metric in metrics.values() for tensor in metric.state())
    places = np.concatenate([block.places for block in blocks])
    added = np.concatenate([block.added for block in blocks])
    owner = np.repeat(np.arange(len(blocks)), [len(block.places) for block in blocks])
    for each in times:
        total = np.bincount(places, weights=added * each[owner], minlength=size).astype(np.int64)
        first = 0
        for metric in metrics.values():
            for tensor in metric.state():
                tensor.copy_(torch.from_numpy(total[first : first + tensor.numel()]).view_as(tensor))
                first += tensor.numel()
        yield read(metrics)


def _joined(draws: list[dict[str, Any]]) -> dict[str, Any]:
    """A dict of lists from a list of dicts."""
    columns = {key: [draw[key] for draw in draws] for key in draws[0]}
    return {key: _joined(values) if isinstance(values[0], dict) else values for key, values in columns.items()}


_NO_FIGURES = ("network_share", "ms_per_frame", "clips", "intervals", "resampled")
"""Keys of scores that no metric has."""


def gains(scores: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """What a row's figures have more than another's: the difference and its :func:`interval`, by key.

    Rows must be of one :func:`netwarp.evaluation.evaluate.evaluate` with ``intervals``. The interval is None where
    there was but one block, and a figure that either row lacks is left out.
    """
    draws, theirs = scores.get("resampled", {}), others.get("resampled", {})
    keys = [key for key in others.get("intervals") or others if key in scores and key not in _NO_FIGURES]
    found = {key: _gain(scores[key], others[key], draws.get(key, ()), theirs.get(key, ())) for key in keys}
    return {key: value for key, value in found.items() if value}


def _gain(ours: Any, theirs: Any, draws: Any, others: Any) -> Any:  # noqa: ANN401
    if isinstance(ours, dict):
        found = {
            name: _gain(ours[name], theirs[name], draws[name] if draws else (), others[name] if others else ())
            for name in ours
        }
        return {name: value for name, value in found.items() if value}
    if not (isinstance(ours, float) and isinstance(theirs, float) and np.isfinite(ours) and np.isfinite(theirs)):
        return None
    paired = zip(draws, others, strict=True)
    return {"gain": ours - theirs, "interval": interval([one - other for one, other in paired])}


def interval(values: Any) -> Any:  # noqa: ANN401
    """The bounds between which 95 % of the draws lie, ``[low, high]``; None without draws that have a figure."""
    if isinstance(values, dict):
        return {key: interval(each) for key, each in values.items()}
    finite = [value for value in values if np.isfinite(value)]
    return [float(bound) for bound in np.percentile(finite, (2.5, 97.5))] if finite else None
