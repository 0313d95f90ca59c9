"""Load saved models, with their base networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from netwarp.bases.registry import rebuild_base
from netwarp.errors import ConfigurationError, NetWarpError, WeightsError
from netwarp.model import FlowCNN, Preprocess, VideoModel
from netwarp.model.gates import gate_from_dict
from netwarp.model.model_file import read
from netwarp.ops import Grid
from netwarp.weights import check_fit


def load(path: str | Path, base: nn.Module | None = None) -> VideoModel:
    """Load a model that :meth:`netwarp.VideoModel.save` wrote. Runs no code out of the file.

    Args:
        path: The file.
        base: The network, where the file does not say how to build it (a module of your own) or was saved without its
            weights. If the file holds the network's weights, they replace those of ``base``, in its own precision.

    Returns:
        The model, in evaluation mode; a network that was built from the file is in the precision it was saved in.

    Raises:
        InputError: There is no such file.
        WeightsError: The file is damaged, is not a netwarp model, or does not fit ``base``.
        ConfigurationError: ``base`` is needed and was not given.
    """
    if not isinstance(path, (str, Path)):
        raise ConfigurationError(f"a saved model is named by its path, not by {path!r}")
    saved = read(path)
    holds_base = any(name.startswith("base.") for name in saved.tensors)
    source = saved.config.get("base")
    rebuilt = base is None
    if base is None:
        if source is None:
            raise ConfigurationError(f"{path} does not say how to build its network: give {{option}}", option="base")
        if not holds_base:
            spec = source.get("spec") if isinstance(source, dict) else source
            raise ConfigurationError(f"{path} was saved without the weights of {spec}: give {{option}}", option="base")
        base = rebuild_base(source)
    training = base.training
    try:
        if rebuilt and "output_grid" in saved.config:
            base.output_grid = Grid.from_lists(*saved.config["output_grid"])  # type: ignore[assignment]
        model = _build(saved.config, base)
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
    if training:
        base.eval()
    return model.eval()


def _build(config: dict[str, Any], base: nn.Module) -> VideoModel:
    flow_cnn, example_size = config["flow_cnn"], config["example_size"]
    model = VideoModel(
        base,
        config["layers"],
        config["flow"],
        None if flow_cnn is None else FlowCNN(**flow_cnn),
        memory=config["memory"],
        gate=gate_from_dict(config["gate"]),
        interpolation=config.get("interpolation", "bilinear"),  # formats 1 and 2 know no other
        training_free=config["training_free"],
        preprocess=Preprocess.from_dict(config["preprocess"]),
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
