"""Whole streams, from a video file to labels, against the network frame by frame.

Runs take turns, not frames: a stream has threads that read and estimate flow for frames to come, and two that are
interleaved would take each other's time. A run's time is that from one result to a later one
(:data:`netwarp.lab.benchmark.networks.AHEAD`).
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from netwarp.errors import NetWarpError
from netwarp.inference.render import render
from netwarp.inference.stream import segment
from netwarp.lab.benchmark.networks import AHEAD, FRAME_BY_FRAME, NETWORKS, TRAINING_FREE, open_street, prepare
from netwarp.lab.benchmark.own_process import Progress, Runner
from netwarp.lab.benchmark.plan import Request, StreamAmount
from netwarp.lab.benchmark.rounds import Rounds, in_turn
from netwarp.lab.benchmark.tables import Found
from netwarp.model import VideoModel

DEFAULT = StreamAmount((360, 480), 2, 8, 3, 1.0)
"""For a network that was asked for and the amounts do not name."""

KEYFRAMES = ("all", "2", "3", "auto")

Kind = tuple[str, str, str]
"""A model's name, its keyframes, and whether labels follow the picture's edges."""


def measure_stream(request: Request, _tell: Progress, runner: Runner) -> Iterator[Found]:
    """A row for each model around each network."""
    with tempfile.TemporaryDirectory(prefix="netwarp-benchmark-") as folder:
        for name in request.streamed:
            yield from runner(streams_of, name, request, Path(folder))


def streams_of(name: str, request: Request, folder: Path, tell: Progress) -> Iterator[Found]:
    """The same for one network, in this process."""
    network, amount = NETWORKS[name], request.amounts.streams.get(name, DEFAULT)
    tell(f"{network.title}: loading")
    base, video = prepare(network, request, folder, amount.size, amount.dropped + amount.between("2").frames + AHEAD)
    models = {around.name: around.build(base, request.flow) for around in network.models}
    kinds = [(name, "all", "off") for name in models if name != TRAINING_FREE.name]
    wanted = request.keyframes or KEYFRAMES
    kinds += [(TRAINING_FREE.name, keyframes, edges) for edges in ("off", "on") for keyframes in wanted]
    runs = request.runs or amount.runs
    streamed: dict[Kind, list[float]] = {kind: [] for kind in kinds}
    rendered: dict[Kind, list[float]] = {kind: [] for kind in kinds if network.rendered}
    shares = dict.fromkeys(kinds, 1.0)
    for number in range(runs):
        for kind in in_turn(kinds, number):
            model, keyframes, edges = kind
            tell(f"{network.title}: run {number + 1} of {runs}, {model}, keyframes {keyframes}, edges {edges}")
            what = models[model], {"keyframes": keyframes, "edges": edges}, video, amount.between(keyframes)
            seconds, shares[kind] = _streamed(*what)
            streamed[kind].append(seconds)
            if network.rendered:
                rendered[kind].append(_seconds_rendered(*what, folder / "rendered.mp4"))
    times, written, base_kind = Rounds(streamed), Rounds(rendered), (FRAME_BY_FRAME.name, "all", "off")
    for kind in kinds:
        model, keyframes, edges = kind
        yield (
            "rows",
            {
                "network": network.title,
                "size": amount.size,
                "model": model,
                "flow": None if model == FRAME_BY_FRAME.name else request.flow,
                "keyframes": keyframes,
                "edges": edges,
                "frames": amount.between(keyframes).frames,
                "runs": runs,
                "network_share": shares[kind],
                "ms": times.ms(kind),
                "ratio": times.ratio(kind, base_kind),
                "rendered_ms": written.ms(kind),
                "rendered_ratio": written.ratio(kind, base_kind),
            },
        )


def _streamed(model: VideoModel, how: dict[str, Any], video: Path, amount: StreamAmount) -> tuple[float, float]:
    """The seconds of a frame, and the share of those that the network ran on."""
    frames = open_street(video, amount.size)
    with closing(segment(frames, model, **how)) as results:  # type: ignore[type-var]
        seen = [(time.perf_counter(), result.keyframe) for result in islice(results, amount.dropped + amount.frames)]
    seconds = seconds_a_frame([stamp for stamp, _ in seen], amount)
    return seconds, statistics.fmean(ran for _, ran in seen[amount.dropped :])


class _EnoughError(Exception):
    """All that counts is rendered."""


def _seconds_rendered(model: VideoModel, how: dict[str, Any], video: Path, amount: StreamAmount, place: Path) -> float:
    stamps: list[float] = []

    def stamp(_: object) -> None:
        stamps.append(time.perf_counter())
        if len(stamps) == amount.dropped + amount.frames:
            raise _EnoughError

    with suppress(_EnoughError):
        render(open_street(video, amount.size), model, video=place, **how, on_frame=stamp)
    return seconds_a_frame(stamps, amount)


def seconds_a_frame(stamps: Sequence[float], amount: StreamAmount) -> float:
    """The time from the last result that does not count to the last that does, for each frame.

    >>> seconds_a_frame([0, 10, 11, 13, 16], StreamAmount((360, 480), 2, 3, 1, 1.0))
    2.0
    """
    last = amount.dropped + amount.frames
    if len(stamps) < last:
        raise NetWarpError(f"the video ended after {len(stamps)} frames, before the {last} that are timed")
    return (stamps[last - 1] - stamps[amount.dropped - 1]) / amount.frames
