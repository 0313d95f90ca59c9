"""How long flow takes, and what the mode without training makes of it on labelled video."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from itertools import cycle
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
from netwarp.lab.benchmark.harness import Clock, Progress, Rounds, Runner, alternating, clock_for
from netwarp.lab.benchmark.plan import BenchmarkPlan
from netwarp.lab.benchmark.results import FlowQualityRow, FlowRow
from netwarp.model import VideoModel
from netwarp.streets import render_clip

DIS = tuple(f"dis:{preset}{scale}" for preset in reversed(DIS_PRESETS) for scale in ("", "@0.5"))
"""The most exact first."""

REFERENCE = "dis:medium"

UPDATES = 20
"""Of RAFT: what the known PyTorch port of NetWarp runs for every frame."""

PAIRS = 4
WIDTH = 2


def measure_flow(plan: BenchmarkPlan, tell: Progress, apart: Runner) -> Iterator[FlowRow | FlowQualityRow]:
    """A row for each flow and size, and with labelled data one for each flow's quality."""
    yield from apart(tell, plan.threads, flow_times, plan)
    if plan.data is not None:
        yield from apart(tell, plan.threads, flow_quality, plan)


def flow_times(plan: BenchmarkPlan, tell: Progress, clock: Clock | None = None) -> Iterator[FlowRow]:
    """How long each takes; see :func:`measure_flow`."""
    clock = clock or clock_for(plan.device)
    with tempfile.TemporaryDirectory(prefix="netwarp-benchmark-") as folder:
        raft = make_flow(f"raft:{plan.raft or _random_raft(Path(folder))},updates={UPDATES}")
    quick, slow = plan.runs or plan.amounts.rounds, plan.runs or plan.amounts.slow_rounds
    for size in plan.amounts.flow_sizes:
        tell(f"{size[1]}×{size[0]}: DIS")
        pairs = _pairs(size, plan.device)
        found = alternating({spec: _estimating(make_flow(spec), pairs) for spec in DIS}, quick, clock)
        yield from (_time_row(spec, size, found) for spec in DIS)
        tell(f"{size[1]}×{size[0]}: RAFT")
        both = {"raft": _estimating(raft, pairs), REFERENCE: _estimating(make_flow(REFERENCE), pairs)}
        found = alternating(both, slow, clock)
        yield FlowRow(f"raft:large,updates={UPDATES}", size, found.ms("raft"), found.ratio("raft", REFERENCE))


def _time_row(spec: str, size: tuple[int, int], found: Rounds) -> FlowRow:
    return FlowRow(spec, size, found.ms(spec), found.ratio(spec, REFERENCE))


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


def flow_quality(plan: BenchmarkPlan, tell: Progress) -> Iterator[FlowQualityRow]:
    """What labels each gives; see :func:`measure_flow`."""
    assert plan.data is not None
    assert plan.base is not None  # checked before
    plan.prepare()
    tell(f"{plan.data}: labelling")
    base = load_base(plan.base, plan.base_weights).to(plan.device)
    lay_out(base)
    specs = [*([] if plan.raft is None else [f"raft:{plan.raft},updates={UPDATES}"]), *DIS]
    models = {"": VideoModel(base, []), **{spec: VideoModel(base, training_free=True, flow=spec) for spec in specs}}
    data = in_order_of(open_data(plan.data, plan.split), models[""].classes)
    frames, done = frames_to_run(data, None), 0

    def advance() -> None:
        nonlocal done
        done += 1
        tell(f"{data.name}: frame {done} of {frames}")

    yield from quality_rows(evaluate(models, data, widths=(WIDTH,), windows=(), on_frame=advance), data.name)


def quality_rows(scores: Mapping[str, Scores], data: str) -> Iterator[FlowQualityRow]:
    """Rows of scores."""
    slowest = next(its for spec, its in scores.items() if spec)
    for spec, its in scores.items():
        lost = {
            "miou_loss": slowest["miou"] - its["miou"],
            "tiou_loss": slowest["tiou"][WIDTH] - its["tiou"][WIDTH],
            "tc_loss": slowest["tc"] - its["tc"],
        }
        yield FlowQualityRow(
            flow=spec or None,
            data=data,
            frames=its["frames"],
            ms=its["ms_per_frame"],
            miou=its["miou"],
            tiou=its["tiou"][WIDTH],
            tc=its["tc"],
            **(lost if spec else dict.fromkeys(lost)),
        )
