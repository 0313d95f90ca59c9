"""How fast a network is by itself in each engine and dtype, and how many labels are those of PyTorch in float32."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from netwarp.bases.in_engine import compute_by
from netwarp.errors import reason_of
from netwarp.lab.benchmark.networks import NETWORKS, SEED, Network, load_network
from netwarp.lab.benchmark.own_process import Progress, Runner
from netwarp.lab.benchmark.plan import Request
from netwarp.lab.benchmark.rounds import Clock, alternating, clock_for
from netwarp.lab.benchmark.tables import Found
from netwarp.model import VideoModel
from netwarp.streets import render_clip


class How(NamedTuple):
    """What runs a network."""

    name: str
    engine: str | None = None
    dtype: str | None = None
    compiled: bool = False


REFERENCE = How("PyTorch")
HOWS = (
    REFERENCE,
    How("PyTorch, bfloat16", dtype="bfloat16"),
    How("PyTorch, compiled", compiled=True),
    How("ONNX Runtime", "onnxruntime"),
    How("OpenVINO", "openvino"),
    How("OpenVINO, bfloat16", "openvino", "bfloat16"),
)


def measure_engines(request: Request, _tell: Progress, runner: Runner) -> Iterator[Found]:
    """A row for each network and what runs it."""
    yield from runner(engine_times, request)


def engine_times(request: Request, tell: Progress, clock: Clock | None = None) -> Iterator[Found]:
    """See :func:`measure_engines`; of what cannot run here, the row says why."""
    clock = clock or clock_for(request.device)
    for name in request.amounts.engines:
        network, size = NETWORKS[name], request.amounts.streams[name].size
        (street,) = render_clip(SEED, 1, size)
        frame = torch.from_numpy(street.image).permute(2, 0, 1)[None].to(request.device)
        labels, running, failed = {}, {}, {}
        for how in HOWS:
            if (how.compiled and request.no_compile) or (how.engine and request.device != "cpu"):
                continue
            tell(f"{network.title}: {how.name}")
            try:
                step = partial(_labels, _model(network, how, request), frame)
                labels[how.name], running[how.name] = step(), step
            except Exception as error:  # of an engine or a compiler
                failed[how.name] = reason_of(error)
        found = alternating(running, request.runs or request.amounts.rounds, clock)
        for how in (how for how in HOWS if how.name in {**labels, **failed}):
            equal = None
            if how.name in labels:
                equal = float((labels[how.name] == labels[REFERENCE.name]).float().mean())
            names = {"network": network.title, "size": size, "how": how.name, "failed": failed.get(how.name)}
            times = {"ms": found.ms(how.name), "ratio": found.ratio(how.name, REFERENCE.name)}
            yield "rows", names | times | {"agreement": equal}


def _model(network: Network, how: How, request: Request) -> VideoModel:
    base = load_network(network, request.weight_files.get(network.name), request.device)
    model = VideoModel(compute_by(base, how.engine, how.dtype), [])
    if how.compiled:
        model.base.compile()
    return model.eval()


@torch.no_grad()
def _labels(model: VideoModel, frame: Tensor) -> Tensor:
    return model.step(frame)[0].argmax(1)
