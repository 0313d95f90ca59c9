"""From a row of the table to a video model whose parameters that are to be trained require gradients."""

from __future__ import annotations

import copy

import torch
from torch import nn

from netwarp.engine.control import hold_w2
from netwarp.engine.sliding import Sliding
from netwarp.engine.stream_model import StreamModel
from netwarp.model import FlowCNN, VideoModel
from netwarp.report.experiment.behind import trained_modules
from netwarp.report.experiment.concatenation import concatenate
from netwarp.report.experiment.rows import Row

__all__ = ["build", "shown_as", "trained_parameters"]

MOST_WINDOWS, MOST_PIXELS = 16, 2 * 713 * 713
"""In a pass of a network: small windows are faster many at a time, large ones would not fit into memory."""


def build(row: Row, base: nn.Module, seed: int = 0) -> VideoModel:
    """The model of a row, before training.

    Args:
        row: What to build.
        base: The network, which stays as it is: a copy is made where some of it is to be trained. Call ``remove()`` on
            the model to take its hooks out.
        seed: Of the FlowCNN's initial weights.

    Returns:
        The model, in evaluation mode. What requires gradients is what the row trains.

    Raises:
        ConfigurationError: The network has no such layer, or the row asks for what there is not.
    """
    if row.training_free:
        model = VideoModel(base, training_free=True, flow=row.flow)
    else:
        if row.trained:
            base = copy.deepcopy(base)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            flow_cnn = FlowCNN(stride=row.flow_cnn) if row.flow_cnn else None
        model = VideoModel(
            base, list(row.layers), row.flow, flow_cnn, memory=row.memory, start=row.start, gate=row.gate or None
        )
    base.requires_grad_(False)
    for name in trained_modules(base, row.trained):
        base.get_submodule(name).requires_grad_(True)
    if row.control:
        hold_w2(model)
    elif row.concatenated:
        concatenate(model)
    return model.eval()


def shown_as(row: Row, model: VideoModel) -> StreamModel:
    """A row's model as it is tested: on the frames that the row's windows and scales make of each, or on whole ones."""
    if row.windows is None:
        return model
    views = row.windows
    pixels = MOST_PIXELS if views.window is None else views.window[0] * views.window[1]
    batch = min(max(MOST_PIXELS // pixels, 1), MOST_WINDOWS)
    return Sliding(model, views.window, views.stride, views.scales, views.flip, batch=batch)


def trained_parameters(model: VideoModel) -> dict[str, int]:
    """How many numbers of each parameter of a model are trained, by its name."""
    return {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
