"""Whether what is asked for can be measured, seen before anything is."""

from __future__ import annotations

from netwarp.bases import load_base
from netwarp.data.datasets import open_data
from netwarp.errors import ConfigurationError, InputError, unknown_name
from netwarp.flow import make_flow
from netwarp.model import VideoModel
from netwarp.report.benchmark.asked import Asked
from netwarp.report.benchmark.networks import NETWORKS
from netwarp.report.benchmark.parts import PARTS
from netwarp.report.benchmark.warp import DTYPES

__all__ = ["check"]


def check(asked: Asked) -> None:
    """Raise for what is asked for and cannot be measured.

    Raises:
        ConfigurationError: A name is unknown, or options do not go together.
        NetWarpError: Weights, data or flow cannot be used.
    """
    for kind, names, known in (
        ("part", asked.parts, list(PARTS)),
        ("network", (*asked.networks, *asked.weights), list(NETWORKS)),
        ("dtype", asked.dtypes, list(DTYPES)),
    ):
        for name in names:
            if name not in known:
                raise unknown_name(kind, name, known)
    if not asked.parts:
        raise ConfigurationError("nothing to measure: name a part, or leave all out")
    if asked.cpu_time and asked.device != "cpu":
        raise ConfigurationError("--cpu-time goes with --device cpu: a GPU's work takes none")
    make_flow(asked.flow)
    if "flow" in asked.parts:
        _check_quality(asked)
    for name, weights in asked.weights.items():
        load_base(NETWORKS[name].spec, weights)


def _check_quality(asked: Asked) -> None:
    if asked.raft is not None:
        make_flow(f"raft:{asked.raft}")
    if asked.data is None:
        if asked.base is not None or asked.base_weights is not None:
            raise ConfigurationError("--base goes with --data, labelled clips that show what each flow is worth")
        return
    if asked.base is None:
        raise ConfigurationError("--data is there for the quality of flow, and needs a network: give --base SPEC")
    data = open_data(asked.data, asked.split)
    if not any(frame.labels is not None for clip in data.clips for frame in clip.frames):
        raise InputError(f"{data.name} has no labelled frames: there is no quality to measure")
    VideoModel(load_base(asked.base, asked.base_weights), [])
