"""Rows as the command makes them, with figures that are made up."""

from __future__ import annotations

from dataclasses import replace

from netwarp.lab.benchmark.networks import NETWORKS
from netwarp.lab.benchmark.plan import FULL, BenchmarkPlan
from netwarp.lab.benchmark.results import (
    BesideRow,
    FlowQualityRow,
    FlowRow,
    LengthRow,
    Measured,
    Row,
    SlopeRow,
    StreamRow,
    TogetherRow,
    WarpRow,
)

MACHINE = {"cpu": "Abacus 9", "cores": 2, "threads": 2, "device": "cpu", "gpu": None, "netwarp": "0", "torch": "2"}

WARP = WarpRow(
    shape=(1, 1024, 128, 128),
    format="channels-last",
    dtype="float32",
    motion="smooth",
    add_ms=40.0,
    clone_ms=30.0,
    ours_ms=44.0,
    eager_ms=320.0,
    compiled_ms=160.0,
    ours_trained_ms=200.0,
    eager_trained_ms=1640.0,
    compiled_trained_ms=800.0,
    ours_backward_ms=150.0,
    add_kept_ms=20.0,
    copy_kept_ms=15.0,
    ours_kept_ms=26.0,
    ours_over_add=1.1,
    ours_over_add_kept=1.3,
    eager_over_add=8.0,
    compiled_over_add=4.0,
    eager_over_ours=7.25,
    compiled_over_ours=3.625,
    eager_over_ours_trained=8.2,
    compiled_over_ours_trained=4.0,
    of_copy=1.02,
    of_copy_kept=0.865,
    of_copy_backward=0.5,
    shift_off=2e-5,
    not_compiled=None,
)


def warps() -> list[Row]:
    rows: list[Row] = []
    for shape in FULL.shapes:
        for layout, factor in (("channels-last", 1.0), ("contiguous", 1.6)):
            rows.append(replace(WARP, shape=shape, format=layout, ours_over_add=1.1 * factor))
    return rows


def streams() -> list[Row]:
    rows: list[Row] = []
    for number, (name, network) in enumerate(NETWORKS.items()):
        for place, around in enumerate(network.models):
            ratio = 1 + 0.07 * place / (1 + number)
            written = {"rendered_ms": 80.0 * ratio, "rendered_ratio": ratio} if network.rendered else {}
            rows.append(
                StreamRow(
                    network.title, FULL.streams[name].size, around.name, "dis" if around.layers != () else None, 4, 3,
                    100.0 * ratio, ratio, **{"rendered_ms": None, "rendered_ratio": None, **written},
                )
            )  # fmt: skip
    return rows


def together() -> list[Row]:
    return [
        TogetherRow(
            "ESPNet", (360, 480), model, count, 3, 13.0 + count / 10 - lost, 1 + count / 100, 700 + 40.0 * count
        )
        for model, lost in (("NetWarp at encoder.b3, FlowCNN at layer stride", 0), ("training-free", 1))
        for count in (1, 2, 4, 8)
    ]


def memory() -> list[Row]:
    rows: list[Row] = []
    for model, more in (("NetWarp at at_eighth, FlowCNN at layer stride", 20.0), ("training-free", 0.0)):
        rows += [LengthRow("StreetNet", (180, 240), model, n, 600 + more) for n in (50, 200, 1000)]
        rows += [BesideRow("StreetNet", (180, 240), model, n, 600 + more + 12 * n) for n in (1, 2, 4, 8)]
        rows.append(SlopeRow("StreetNet", model, 0.04, 12.0))
    return rows


def flows() -> list[Row]:
    specs = {"dis:medium": 8.0, "dis:fast": 2.0, "dis:ultrafast@0.5": 0.4, "raft:large,updates=20": 2700.0}
    rows: list[Row] = [
        FlowRow(spec, size, ms * factor, ms / 8)
        for size, factor in (((360, 480), 1.0), ((480, 640), 1.8))
        for spec, ms in specs.items()
    ]
    rows.append(FlowQualityRow(None, "camvid", 101, 60.0, 70.02, 43.25, 97.38, None, None, None))
    rows.append(FlowQualityRow("dis:medium", "camvid", 101, 90.0, 70.88, 43.74, 98.72, 0.0, 0.0, 0.0))
    rows.append(FlowQualityRow("dis:fast", "camvid", 101, 80.0, 70.8, 43.77, 98.7, 0.08, -0.03, 0.02))
    return rows


ROWS = {"warp": warps, "stream": streams, "streams": together, "memory": memory, "flow": flows}


def measured(*parts: str, plan: BenchmarkPlan | None = None) -> Measured:
    """All parts, or these, as if they had been measured."""
    names = parts or tuple(ROWS)
    return Measured(
        plan or BenchmarkPlan(parts=names),
        dict(MACHINE),
        {name: ROWS[name]() for name in names},
        dict.fromkeys(names, 1.5),
    )
