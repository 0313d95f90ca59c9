"""Load saved models, with their base networks."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from torch import nn

from netwarp.bases.registry import rebuild_base
from netwarp.bases.self_contained import SizeLimit, check_self_contained
from netwarp.errors import ConfigurationError, NetWarpError, WeightsError
from netwarp.flow import FlowEstimator
from netwarp.input_files import expanded
from netwarp.model import FlowCNN, Preprocess, VideoModel
from netwarp.model.gate_names import gate_from_dict
from netwarp.model.gates import Gate, GateFunction
from netwarp.model.model_file import read
from netwarp.model.task import Task, task_from_dict
from netwarp.ops import Grid
from netwarp.weights import check_fit

_OWN_FLOWS = ("dis", "zero", "true")
"""Flows that need no file."""

_MOST_PIXELS = 1 << 26
"""Of sizes that a file may ask for."""


def load(
    path: str | Path,
    base: nn.Module | None = None,
    *,
    flow: str | FlowEstimator | None = None,
    gate: str | Gate | GateFunction | None = None,
    trust: bool = False,
) -> VideoModel:
    """Load a model that :meth:`netwarp.VideoModel.save` wrote, out of that file alone.

    No code of the file runs, and no other file or address that it names is read.

    Args:
        path: The file.
        base: The network, where the file does not say how to build it (a module of your own) or was saved without its
            weights. If the file holds the network's weights, they replace those of ``base``, in its own precision.
        flow: In place of the file's flow.
        gate: In place of the file's gate; needed where that is the user's own.
        trust: Take what the file names outside of itself too: RAFT's weights, a folder of flow, a backbone's name.

    Returns:
        The model, in evaluation mode; a network that was built from the file is in the precision it was saved in.

    Raises:
        InputError: There is no such file.
        WeightsError: The file is damaged, is not a netwarp model, or does not fit ``base``.
        ConfigurationError: ``base`` is needed and was not given, or the file names something that ``trust``,
            ``flow`` or ``base`` must allow.
    """
    if not isinstance(path, (str, Path)):
        raise ConfigurationError(f"a saved model is named by its path, not by {path!r}")
    saved = read(expanded(path))
    holds_base = any(name.startswith("base.") for name in saved.tensors)
    source = saved.config.get("base")
    rebuilt = base is None
    if base is None:
        if source is None:
            raise ConfigurationError(f"{path} does not say how to build its network: give {{option}}", option="base")
        if not holds_base:
            spec = source.get("spec") if isinstance(source, dict) else source
            raise ConfigurationError(f"{path} was saved without the weights of {spec}: give {{option}}", option="base")
        if not trust:
            check_self_contained(source, path)
        held = sum(tensor.numel() for tensor in saved.tensors.values())
        with nullcontext() if trust else SizeLimit(held, path):
            base = rebuild_base(source)
    try:
        if rebuilt and "output_grid" in saved.config:
            base.output_grid = Grid.from_lists(*saved.config["output_grid"])  # type: ignore[assignment]
        model = _build(saved.config, base, flow or _flow_of(saved.config, path, trust=trust), gate)
    except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise WeightsError(f"the configuration in {path} is damaged ({reason})") from error
    expected = {k: v for k, v in model.state_dict().items() if holds_base or not k.startswith("base.")}
    try:
        check_fit(expected, saved.tensors, path)
    except NetWarpError:
        model.remove()
        raise
    first = next((f"base.{name}" for name, _ in base.named_parameters()), None)
    if rebuilt and first is not None:
        base.to(saved.tensors[first].dtype)
    model.load_state_dict(saved.tensors, strict=holds_base)
    return model.eval()


def _flow_of(config: dict[str, Any], path: str | Path, *, trust: bool) -> str:
    """The flow that a file names, if it needs nothing else."""
    flow = config["flow"]
    if not isinstance(flow, str):
        raise ValueError(f"flow {flow!r}")
    if not trust and re.split("[:@,]", flow)[0] not in _OWN_FLOWS:
        raise ConfigurationError(
            f"{path} was saved with the flow {flow!r}, which is not in it: give {{option}}, or load it with trust=True",
            option="flow",
        )
    return flow


def _build(
    config: dict[str, Any],
    base: nn.Module,
    flow: str | FlowEstimator,
    gate: str | Gate | GateFunction | None,
) -> VideoModel:
    flow_cnn, example_size = config["flow_cnn"], config["example_size"]
    preprocess = Preprocess.from_dict(config["preprocess"])
    for height, width in filter(None, (example_size, preprocess.size, (preprocess.divisor,) * 2)):
        if not 0 < height * width <= _MOST_PIXELS:
            raise ValueError(f"a size of {width}×{height}")
    model = VideoModel(
        base,
        config["layers"],
        flow,
        None if flow_cnn is None else FlowCNN(**flow_cnn),
        memory=config["memory"],
        gate=gate_from_dict(config["gate"]) if gate is None else gate,
        interpolation=config.get("interpolation", "bilinear"),  # formats 1 and 2 know no other
        training_free=config["training_free"],
        preprocess=preprocess,
        task=task_from_dict(config["task"]) if "task" in config else Task(len(config["classes"])),
        classes=config["classes"],
        palette=config["palette"],
        example_size=None if example_size is None else tuple(example_size),
    )
    if "grids" in config:  # as they were when it was trained, else as they are measured
        known = tuple(None if grid is None else Grid.from_lists(*grid) for grid in config["grids"])
        if len(known) != len(model.layers):
            raise ValueError(f"{len(known)} grids for {len(model.layers)} layers")
        model.grids = known
    return model
