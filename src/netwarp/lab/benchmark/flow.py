"""How long flow takes, and what the mode without training makes of it on labelled video."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from itertools import count, cycle
from pathlib import Path

import torch
from torch import Tensor

from netwarp.bases import load_base
from netwarp.bases.spec import lay_out
from netwarp.datasets.class_order import in_order_of
from netwarp.datasets.registry import open_data
from netwarp.evaluation.evaluate import evaluate, frames_to_run
from netwarp.evaluation.scores import Scores
from netwarp.flow import FlowEstimator, make_flow
from netwarp.flow.estimator import DIS_PRESETS
from netwarp.lab.benchmark.own_process import Progress, Runner
from netwarp.lab.benchmark.plan import Request
from netwarp.lab.benchmark.rounds import Clock, alternating, clock_for
from netwarp.lab.benchmark.tables import Found, size_text
from netwarp.model import VideoModel
from netwarp.streets import render_clip

DIS = tuple(f"dis:{preset}{scale}" for preset in reversed(DIS_PRESETS) for scale in ("", "@0.5"))
"""The most exact first."""

REFERENCE = "dis:medium"

UPDATES = 20
"""Of RAFT: what the known PyTorch port of NetWarp runs for every frame."""

PAIRS = 4
WIDTH = 2


def measure_flow(request: Request, _tell: Progress, runner: Runner) -> Iterator[Found]:
    """A row for each flow and size, and with labelled data one for each flow's quality."""
    yield from runner(flow_times, request)
    if request.data is not None:
        yield from runner(flow_quality, request)


def flow_times(request: Request, tell: Progress, clock: Clock | None = None) -> Iterator[Found]:
    """How long each takes; see :func:`measure_flow`."""
    amounts, clock = request.amounts, clock or clock_for(request.device)
    with tempfile.TemporaryDirectory(prefix="netwarp-benchmark-") as folder:
        raft = make_flow(f"raft:{request.raft or _random_raft(Path(folder))},updates={UPDATES}")
    slow = f"raft:large,updates={UPDATES}"
    for size in amounts.flow_sizes:
        pairs = _pairs(size, request.device)
        dis = {spec: _estimating(make_flow(spec), pairs) for spec in DIS}
        for what, functions, rounds in (
            ("DIS", dis, amounts.rounds),
            ("RAFT", {slow: _estimating(raft, pairs), REFERENCE: dis[REFERENCE]}, amounts.slow_rounds),
        ):
            tell(f"{size_text(size)}: {what}")
            found = alternating(functions, request.runs or rounds, clock)
            for spec in dis if what == "DIS" else (slow,):
                yield "rows", {"flow": spec, "size": size, "ms": found.ms(spec), "ratio": found.ratio(spec, REFERENCE)}


def _random_raft(folder: Path) -> Path:
    """A file of random weights for torchvision's large RAFT: as fast as good ones, and nothing to download."""
    from torchvision.models.optical_flow import raft_large

    torch.manual_seed(0)
    path = folder / "raft.pth"
    torch.save(raft_large(weights=None).state_dict(), path)
    return path


def _pairs(size: tuple[int, int], device: str) -> list[tuple[Tensor, Tensor]]:
    frames = [torch.from_numpy(frame.image).permute(2, 0, 1)[None].to(device) for frame in render_clip(3, PAIRS, size)]
    return list(zip(frames[1:], frames, strict=False))


def _estimating(flow: FlowEstimator, pairs: list[tuple[Tensor, Tensor]]) -> Callable[[], object]:
    """Each call estimates the next pair's flow, as how long that takes depends on the motion."""
    turn = cycle(pairs)
    return lambda: flow(*next(turn))


def flow_quality(request: Request, tell: Progress) -> Iterator[Found]:
    """What labels each gives; see :func:`measure_flow`."""
    assert request.data is not None
    assert request.base is not None  # checked before
    tell(f"{request.data}: labelling")
    base = load_base(request.base, request.weight_files.get("")).to(request.device)
    lay_out(base)
    specs = [*([] if request.raft is None else [f"raft:{request.raft},updates={UPDATES}"]), *DIS]
    models = {"": VideoModel(base, []), **{spec: VideoModel(base, training_free=True, flow=spec) for spec in specs}}
    data = in_order_of(open_data(request.data, request.split), models[""].classes)
    frames, done = frames_to_run(data, None), count(1)
    scores = evaluate(
        models, data, widths=(WIDTH,), windows=(), edges="off",
        on_frame=lambda: tell(f"{data.name}: frame {next(done)} of {frames}"),
    )  # fmt: skip
    yield from quality_rows(scores, data.name)


def quality_rows(scores: Mapping[str, Scores], data: str) -> Iterator[Found]:
    """Rows of scores."""
    slowest = next(its for spec, its in scores.items() if spec)
    for spec, its in scores.items():
        figures, best = (
            {"miou": each["miou"], "tiou": each["tiou"][WIDTH], "tc": each["tc"]} for each in (its, slowest)
        )
        row = {"flow": spec or None, "data": data, "frames": its["frames"], "ms": its["ms_per_frame"]}
        lost = {f"{name}_loss": best[name] - value if spec else None for name, value in figures.items()}
        yield "quality", row | figures | lost
