"""Streams: which results count, what a ratio is taken of, and a real one that is small."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from netwarp.errors import NetWarpError
from netwarp.lab.benchmark import stream
from netwarp.lab.benchmark.harness import here
from netwarp.lab.benchmark.networks import (
    AHEAD,
    FRAME_BY_FRAME,
    NETWORKS,
    SMALL,
    Around,
    Network,
    open_street,
    write_street,
)
from netwarp.lab.benchmark.plan import FULL, QUICK, BenchmarkPlan, StreamAmount
from netwarp.lab.benchmark.stream import Meter, measure_stream, seconds_a_frame, stream_rows
from netwarp.video.open import open_frames


def test_the_clock_starts_with_the_last_result_that_does_not_count():
    now = iter([10.0, 16.0])
    meter = Meter(2, 3, lambda: next(now))
    assert [meter.full() for _ in range(5)] == [False, False, False, False, True]
    assert meter.seconds == 2.0


def test_a_video_that_is_too_short_is_an_error():
    meter = Meter(1, 3)
    meter.full()
    with pytest.raises(NetWarpError, match="after 1 frames, before the 4"):
        _ = meter.seconds


def test_a_stream_is_left_at_its_last_result_that_counts():
    given: list[int] = []
    closed: list[bool] = []

    def results() -> Iterator[int]:
        try:
            for number in range(100):
                given.append(number)
                yield number
        finally:
            closed.append(True)

    assert seconds_a_frame(results(), 2, 3) >= 0
    assert given == [0, 1, 2, 3, 4]
    assert closed == [True]


def test_ratios_are_taken_within_a_turn():
    netwarp = Around(("a",), "at layer stride")
    network = Network("netwarp:x", "X", (netwarp,))
    streamed = {FRAME_BY_FRAME: [0.1, 0.2, 0.1], netwarp: [0.11, 0.24, 0.13]}
    rendered = {FRAME_BY_FRAME: [0.2, 0.2, 0.2], netwarp: [0.2, 0.3, 0.4]}
    single, ours = stream_rows(network, StreamAmount((4, 6), 1, 2, 3, 0.0), "dis:fast", streamed, rendered)
    assert (single.model, single.flow, single.ratio, single.ms) == ("frame by frame", None, 1.0, 100.0)
    assert (ours.model, ours.flow) == ("NetWarp at a, FlowCNN at layer stride", "dis:fast")
    assert ours.ms == pytest.approx(130)
    assert ours.ratio == pytest.approx(1.2)  # of 1.1, 1.2 and 1.3
    assert ours.rendered_ms == pytest.approx(300)
    assert ours.rendered_ratio == pytest.approx(1.5)
    assert (ours.runs, ours.frames) == (3, 2)
    assert (
        next(
            stream_rows(network, StreamAmount((4, 6), 1, 2, 3, 0.0), "dis", streamed, {**rendered, FRAME_BY_FRAME: []})
        ).rendered_ms
        is None
    )


def test_a_small_stream_from_file_to_labels(monkeypatch: pytest.MonkeyPatch):
    network = Network("netwarp:streetnet", "StreetNet", SMALL.netwarps, rendered=True)
    monkeypatch.setitem(stream.NETWORKS, "espnet", network)
    amounts = QUICK.__class__(**{**QUICK.__dict__, "streams": {"espnet": StreamAmount((33, 47), 1, 2, 2, 0.0)}})
    told: list[str] = []
    rows = list(measure_stream(BenchmarkPlan(amounts=amounts), told.append, here))
    assert [row.model for row in rows] == [
        "frame by frame",
        "NetWarp at at_eighth, FlowCNN at layer stride",
        "training-free",
    ]
    assert {row.size for row in rows} == {(33, 47)}
    assert all(row.ms > 0 and row.rendered_ms and row.runs == 2 for row in rows)
    assert "StreetNet: run 2 of 2, training-free" in told


def test_the_video_is_a_file_of_exactly_that_size(tmp_path: Path):
    path = write_street(tmp_path, (33, 47), 3 + AHEAD)
    frames = [frame.image for frame in open_street(path, (33, 47))]
    assert len(frames) == 3 + AHEAD
    assert {frame.shape for frame in frames} == {(33, 47, 3)}
    assert all(frame.flags.c_contiguous for frame in frames)
    assert open_frames(path).size == (34, 48)  # as H.264 wants it
    assert all(np.abs(a.astype(int) - b).mean() > 0.1 for a, b in pairwise(frames))
    written = path.stat().st_mtime_ns
    assert write_street(tmp_path, (33, 47), 3 + AHEAD).stat().st_mtime_ns == written


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_has_an_amount_and_layers_that_it_knows(name: str):
    network = NETWORKS[name]
    assert name in FULL.streams
    base = stream.load_network(
        Network(network.spec.replace("dilation8", "dilation8@0.03").replace("101", "101@0.03"), "", ()), None, "cpu"
    )
    known = dict(base.named_modules())
    for around in network.netwarps:
        assert around.layers
        assert all(layer in known or layer == "log_probs" for layer in around.layers)


def test_models_are_what_their_names_say():
    base = stream.load_network(SMALL, None, "cpu")
    single, netwarp, free = (around.build(base, "dis:fast") for around in SMALL.models)
    assert single.layers == ()
    assert netwarp.flow_cnn is not None
    assert netwarp.flow_cnn.stride == 8
    assert netwarp.netwarps[0].w2[0].item() == 0.5
    assert netwarp.memory == "previous"
    assert free.training_free
    assert not any(model.training for model in (single, netwarp, free))
    assert Around(("log_probs",)).build(base, "dis").memory == "fused"
    assert Around(tuple("abc")).name == "NetWarp at 3 layers"
