"""Streams: which results count, and what a ratio is taken of; times of flow, and what a faster one loses."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lab.benchmark.generators import here
from netwarp.errors import NetWarpError
from netwarp.evaluation.scores import Scores
from netwarp.lab.benchmark import flow, plan, stream
from netwarp.lab.benchmark.flow import DIS, flow_times, measure_flow, quality_rows
from netwarp.lab.benchmark.networks import AHEAD, NETWORKS, SMALL, Around, load_network, open_street, write_street
from netwarp.lab.benchmark.plan import FULL, QUICK, Request, StreamAmount
from netwarp.lab.benchmark.stream import measure_stream, seconds_a_frame
from netwarp.video.open import open_frames

SMALL_AMOUNT = StreamAmount((33, 47), 1, 2, 3, 0.0)
REQUEST = Request(parts=[], device="cpu", quick=True)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small network in place of ESPNet, and little of it."""
    monkeypatch.setitem(NETWORKS, "espnet", replace(SMALL, rendered=True))
    monkeypatch.setattr(plan, "QUICK", replace(QUICK, streams={"espnet": SMALL_AMOUNT}))


def test_a_video_that_is_too_short_is_an_error():
    with pytest.raises(NetWarpError, match="after 1 frames, before the 3"):
        seconds_a_frame([1.0], SMALL_AMOUNT)


def test_a_stream_is_left_at_its_last_result_that_counts(monkeypatch: pytest.MonkeyPatch):
    given: list[int] = []
    closed: list[bool] = []

    def results(*_, keyframes: str, edges: str) -> Iterator[SimpleNamespace]:
        try:
            for number in range(100):
                given.append(number)
                yield SimpleNamespace(keyframe=number % int(keyframes) == 0)
        finally:
            closed.append(True)

    monkeypatch.setattr(stream, "open_street", lambda *_: None)
    monkeypatch.setattr(stream, "segment", results)
    seconds, share = stream._streamed(
        None, {"keyframes": "4", "edges": "off"}, Path(), StreamAmount((4, 6), 2, 3, 1, 0.0)
    )
    assert seconds >= 0
    assert share == 1 / 3  # 4 of 2, 3 and 4
    assert given == [0, 1, 2, 3, 4]
    assert closed == [True]


def test_ratios_are_taken_within_a_turn(monkeypatch: pytest.MonkeyPatch):
    streamed = {(): [0.1, 0.2, 0.1], ("at_eighth",): [0.11, 0.24, 0.13], None: [0.1] * 6}
    written = {(): [0.2, 0.2, 0.2], ("at_eighth",): [0.2, 0.3, 0.4], None: [0.2] * 6}
    order: list[object] = []

    def seconds(found, model, *_) -> float:
        order.append(layers := None if model.training_free else tuple(model.layers))
        return found[layers].pop(0)

    monkeypatch.setattr(stream, "_streamed", lambda *those: (seconds(streamed, *those), 0.25))
    monkeypatch.setattr(stream, "_seconds_rendered", lambda *those: seconds(written, *those))
    rows = [row for _, row in measure_stream(replace(REQUEST, keyframes=("all",)), print, here)]
    assert order[::8] == [(), ("at_eighth",), None]  # each run begins with another one
    single, ours, *free = rows
    assert [row["edges"] for row in free] == ["off", "on"]
    assert (single["model"], single["flow"], single["ratio"], single["ms"]) == ("frame by frame", None, 1.0, 100.0)
    assert (ours["model"], ours["flow"]) == ("NetWarp at at_eighth, FlowCNN at layer stride", "dis")
    assert ours["ms"] == pytest.approx(130)
    assert ours["ratio"] == pytest.approx(1.2)  # of 1.1, 1.2 and 1.3
    assert ours["rendered_ms"] == pytest.approx(300)
    assert ours["rendered_ratio"] == pytest.approx(1.5)
    assert (ours["runs"], ours["frames"], ours["size"]) == (3, 2, (33, 47))


@pytest.mark.parametrize("rendered", [True, False])
def test_a_small_stream_from_file_to_labels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rendered: bool):
    monkeypatch.setitem(NETWORKS, "espnet", replace(SMALL, rendered=rendered))
    told: list[str] = []
    rows = [row for _, row in stream.streams_of("espnet", replace(REQUEST, runs=1), tmp_path, told.append)]
    assert [row["keyframes"] for row in rows] == ["all", "all", *(keyframes := ["all", "2", "3", "auto"]), *keyframes]
    assert [row["frames"] for row in rows] == [2, 2, *[2, 6, 6, 6] * 2]
    assert [row["network_share"] for row in rows[:5]] == [1, 1, 1, 1 / 2, 1 / 3]
    assert all(row["ms"] > 0 and (row["rendered_ms"] is not None) is rendered for row in rows)
    assert "StreetNet: run 1 of 1, training-free, keyframes auto, edges on" in told


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


NARROW = {"dilation8": "dilation8@0.03", "pspnet101": "pspnet101@0.03"}


@pytest.mark.parametrize("network", list(NETWORKS.values()), ids=lambda network: network.name)
def test_every_network_has_an_amount_and_layers_that_it_knows(network):
    assert network.name in FULL.streams
    spec = network.spec.replace(network.name, NARROW.get(network.name, network.name))
    known = dict(load_network(replace(network, spec=spec), None, "cpu").named_modules())
    for around in network.netwarps:
        assert around.layers
        assert all(layer in known or layer == "log_probs" for layer in around.layers)


def test_models_are_what_their_names_say():
    base = load_network(SMALL, None, "cpu")
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


def test_a_row_for_each_flow_and_size(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(flow, "UPDATES", 1)
    monkeypatch.setattr(plan, "QUICK", replace(QUICK, flow_sizes=((36, 48),), rounds=2, slow_rounds=1))
    found: list[torch.Tensor] = []

    def clock(function, repeats):
        found.append(function())
        return 0.003

    rows = [row for _, row in flow_times(REQUEST, lambda _: None, clock)]
    assert [(row["flow"], row["size"]) for row in rows] == [(spec, (36, 48)) for spec in (*DIS, "raft:large,updates=1")]
    assert {row["ms"] for row in rows} == {3.0}
    assert {row["ratio"] for row in rows} == {1.0}
    assert {tuple(each.shape) for each in found} == {(1, 2, 36, 48)}


def scores(miou: float, tiou: float, tc: float, ms: float) -> Scores:
    return {"miou": miou, "tiou": {2: tiou}, "tc": tc, "frames": 101, "ms_per_frame": ms}


def test_lost_is_what_the_slowest_has_more():
    found = quality_rows(
        {"": scores(68, 42, 97.5, 50), "dis:medium": scores(70, 44, 98.5, 80), "dis:fast": scores(69.5, 44.25, 98, 70)},
        "a clip",
    )
    rows = [row for _, row in found]
    assert [[row[f"{name}_loss"] for name in ("miou", "tiou", "tc")] for row in rows] == [
        [None, None, None], [0, 0, 0], [0.5, -0.25, 0.5],
    ]  # fmt: skip
    assert [row["flow"] for row in rows] == [None, "dis:medium", "dis:fast"]
    assert [rows[2][name] for name in ("data", "frames", "ms", "tiou")] == ["a clip", 101, 70, 44.25]


def test_quality_on_labelled_clips(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(flow, "flow_times", lambda request, tell: iter([("rows", {})]))
    assert list(measure_flow(REQUEST, lambda _: None, here)) == [("rows", {})]
    told: list[str] = []
    request = replace(REQUEST, data="streets:clips=1,frames=3,size=64x48", base="netwarp:streetnet")
    found = list(measure_flow(request, print, lambda function, *arguments: function(*arguments, told.append)))
    assert [table for table, _ in found] == ["rows"] + ["quality"] * (1 + len(DIS))
    rows = [row for table, row in found if table == "quality"]
    assert [row["flow"] for row in rows] == [None, *DIS]
    assert {row["frames"] for row in rows} == {3}
    assert all(0 <= row["miou"] <= 100 and 0 <= row["tc"] <= 100 and row["ms"] > 0 for row in rows)
    assert told[-1].endswith("frame 3 of 3")
