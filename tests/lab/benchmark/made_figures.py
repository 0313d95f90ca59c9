"""Rows as the command makes them, with figures that are made up."""

from typing import Any

from netwarp.lab.benchmark.networks import NETWORKS
from netwarp.lab.benchmark.plan import FULL, Request
from netwarp.lab.benchmark.tables import Figures, Found

MACHINE = {"cpu": "Abacus 9", "cores": 2, "threads": 2, "device": "cpu", "gpu": None, "netwarp": "0", "torch": "2"}

WARP = {
    "shape": (1, 1024, 128, 128), "format": "channels-last", "dtype": "float32", "motion": "smooth",
    "add_ms": 40.0, "clone_ms": 30.0, "ours_ms": 44.0, "eager_ms": 320.0, "compiled_ms": 160.0,
    "ours_trained_ms": 200.0, "eager_trained_ms": 1640.0, "compiled_trained_ms": 800.0, "ours_backward_ms": 150.0,
    "add_kept_ms": 20.0, "copy_kept_ms": 15.0, "ours_kept_ms": 26.0, "ours_over_add": 1.1, "ours_over_add_kept": 1.3,
    "eager_over_add": 8.0, "compiled_over_add": 4.0, "eager_over_ours": 7.25, "compiled_over_ours": 3.625,
    "eager_over_ours_trained": 8.2, "compiled_over_ours_trained": 4.0, "of_copy": 1.02, "of_copy_kept": 0.865,
    "of_copy_backward": 0.5, "shift_off": 2e-5, "not_compiled": None,
}  # fmt: skip


def _stream() -> list[Found]:
    rows: list[Found] = []
    for name, network in NETWORKS.items():
        for place, around in enumerate(network.models):
            ratio = 1 + 0.07 * place
            names = {"network": network.title, "size": FULL.streams[name].size, "model": around.name}
            counts = {"flow": "dis" if around.layers != () else None, "frames": 4, "runs": 3}
            counts |= {"keyframes": "all", "edges": "off", "network_share": 1.0}
            written = {"rendered_ms": 80.0, "rendered_ratio": ratio} if network.rendered else {}
            empty = {"rendered_ms": None, "rendered_ratio": None}
            rows.append(("rows", names | counts | {"ms": 100.0 * ratio, "ratio": ratio} | empty | written))
    return rows


def _memory() -> list[Found]:
    rows: list[Found] = []
    for model, more in (("NetWarp at at_eighth, FlowCNN at layer stride", 20.0), ("training-free", 0.0)):
        names = {"network": "StreetNet", "size": (180, 240), "model": model}
        rows += [("by_length", names | {"frames": n, "resident_mib": 600 + more}) for n in (50, 200, 1000)]
        rows += [("by_streams", names | {"streams": n, "resident_mib": 600 + more + 12 * n}) for n in (1, 2, 4, 8)]
        rows.append(("slopes", names | {"mib_per_1000_frames": 0.04, "mib_per_stream": 12.0}))
    return rows


def _quality(flow: str | None, ms: float, miou: float, tiou: float, tc: float, *lost: float | None) -> Found:
    names = {"flow": flow, "data": "camvid", "frames": 101, "ms": ms, "miou": miou, "tiou": tiou, "tc": tc}
    return "quality", names | dict(zip(("miou_loss", "tiou_loss", "tc_loss"), lost, strict=True))


_TIMES = {"dis:medium": 8.0, "dis:fast": 2.0, "dis:ultrafast@0.5": 0.4, "raft:large,updates=20": 2700.0}

FOUND: dict[str, list[Found]] = {
    "warp": [("rows", WARP | {"shape": shape, "format": f}) for shape in FULL.shapes for f in ("contiguous", "other")],
    "stream": _stream(),
    "streams": [
        ("rows", {"network": "ESPNet", "size": (360, 480), "model": model, "streams": n, "runs": 3, "fps": 13 - lost,
                  "ratio": 1 + n / 100, "resident_mib": 700 + 40.0 * n})
        for model, lost in (("NetWarp at encoder.b3", 0), ("training-free", 1))
        for n in (1, 2, 4, 8)
    ],
    "memory": _memory(),
    "flow": [
        *(
            ("rows", {"flow": flow, "size": size, "ms": ms * factor, "ratio": ms / 8})
            for size, factor in (((360, 480), 1.0), ((480, 640), 1.8))
            for flow, ms in _TIMES.items()
        ),
        _quality(None, 60.0, 70.02, 43.25, 97.38, None, None, None),
        _quality("dis:medium", 90.0, 70.88, 43.74, 98.72, 0.0, 0.0, 0.0),
        _quality("dis:fast", 80.0, 70.8, 43.77, 98.7, 0.08, -0.03, 0.02),
    ],
    "engines": [
        ("rows", {"network": "ESPNet", "size": (360, 480), "how": how, "ms": ms, "ratio": ms and ms / 52,
                  "agreement": ms and 1.0, "failed": None if ms else "no compiler"})
        for how, ms in (("PyTorch", 52.0), ("PyTorch, compiled", None), ("OpenVINO", 25.0))
    ],
}  # fmt: skip


def figures(found: dict[str, list[Found]] = FOUND, **asked: Any) -> Figures:
    """What is there when this was found and more is to come."""
    made = Figures(Request(parts=list(found), **asked), MACHINE)
    for part, rows in found.items():
        made.begin(part)
        for table, row in rows:
            made.add(part, table, row)
    return made
