"""From a row of the table to a video model whose parameters that are to be trained require gradients."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from netwarp.errors import ConfigurationError, unknown_name
from netwarp.inference.sliding import Sliding, StreamModel
from netwarp.lab.study.crf import DenseCRFModel
from netwarp.lab.study.rows import Row
from netwarp.model import FlowCNN, VideoModel
from netwarp.model.inputs import base_device, base_dtype, preprocess_of
from netwarp.model.layers import OUTPUTS, probe
from netwarp.model.running import evaluating
from netwarp.model.video_model import TRAINING_FREE_GATE, TRAINING_FREE_START
from netwarp.training.parameters import hold_w2


class Concatenation(nn.Module):
    """Both frames' representations side by side, brought back to as many channels by a learned 1×1 convolution.

    The paper says only that features were concatenated. This is the smallest reading of it: nothing is warped, and
    every channel may draw on every channel of both frames. A fresh one passes the current representation on unchanged.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.mix = nn.Conv2d(2 * channels, channels, 1, bias=False)
        with torch.no_grad():
            nn.init.zeros_(self.mix.weight)
            self.mix.weight[:, :channels, 0, 0] = torch.eye(channels)

    def forward(self, current: Tensor, previous: Tensor, flow: Tensor, gate: Tensor | None = None) -> Tensor:
        """Combine two frames' representations, as :meth:`netwarp.model.netwarp.NetWarp.forward` does."""
        mixed: Tensor = self.mix(torch.cat([current, previous], dim=1))
        return mixed


def concatenate(model: VideoModel) -> VideoModel:
    """Put a :class:`Concatenation` in the place of every NetWarp of a model. Returns the model."""
    for place, netwarp in enumerate(model.netwarps):
        w1 = netwarp.w1
        assert isinstance(w1, Tensor)
        model.netwarps[place] = Concatenation(len(w1)).to(w1.device)
    return model


AFTER = "after "


def downstream_modules(base: nn.Module, layer: str) -> tuple[str, ...]:
    """The modules that begin when a layer is done, and have parameters."""
    modules = dict(base.named_modules())
    if layer not in modules or not layer:
        raise unknown_name("layer", layer, [name for name in modules if name])
    preprocess = preprocess_of(base)
    frame = torch.zeros(1, 3, *probe(base, preprocess).frame, device=base_device(base))
    begun: list[str] = []  # names in order, and "" where the layer ended
    handles = [
        module.register_forward_pre_hook(lambda *_, name=name: begun.append(name))
        for name, module in modules.items()
        if name
    ]
    handles.append(modules[layer].register_forward_hook(lambda *_: begun.append("")))
    try:
        with evaluating(base), torch.no_grad(), torch.random.fork_rng(devices=[]):
            base(preprocess(frame).to(base_dtype(base)))
    finally:
        for handle in handles:
            handle.remove()
    if begun.count("") != 1:
        raise ConfigurationError(f"layer {layer!r} runs {begun.count('')} times a frame: choose one that runs once")
    end = begun.index("")
    after = dict.fromkeys(name for name in begun[end + 1 :] if name not in begun[:end])
    wholly = [name for name in after if any(True for _ in modules[name].parameters())]
    outermost = tuple(name for name in wholly if not any(name.startswith(f"{other}.") for other in wholly))
    if not outermost:
        raise ConfigurationError(f"nothing that can be trained runs behind layer {layer!r}: choose an earlier one")
    return outermost


def trained_modules(base: nn.Module, trained: tuple[str, ...]) -> tuple[str, ...]:
    """The modules that :attr:`netwarp.lab.study.rows.Row.trained` names."""
    names: list[str] = []
    for entry in trained:
        names += downstream_modules(base, entry.removeprefix(AFTER)) if entry.startswith(AFTER) else [entry]
    return tuple(dict.fromkeys(names))


MOST_WINDOWS, MOST_PIXELS = 16, 2 * 713 * 713
"""In a pass of a network: small windows are faster many at a time, large ones would not fit into memory."""


def build(row: Row, base: nn.Module, seed: int = 0) -> VideoModel:
    """The model of a row, before training."""
    if row.training_free:
        model = VideoModel(base, training_free=True, flow=row.flow, interpolation=row.interpolation)
    elif row.crf:
        model = DenseCRFModel(base, row.crf, row.flow)
    else:
        if row.trained:
            base = copy.deepcopy(base)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            flow_cnn = FlowCNN(stride=row.flow_cnn, start=row.flow_cnn_start) if row.flow_cnn else None
        model = VideoModel(
            base,
            list(row.layers),
            row.flow,
            flow_cnn,
            memory=row.memory,
            start=row.start,
            gate=row.gate or None,
            interpolation=row.interpolation,
        )
    base.requires_grad_(False)
    for name in trained_modules(base, row.trained):
        base.get_submodule(name).requires_grad_(True)
    if row.control:
        hold_w2(model)
    elif row.concatenated:
        concatenate(model)
    return model.eval()


def with_free_memory(row: Row, model: VideoModel) -> VideoModel:
    """A trained network with the memory that needs no training at its output, and its trained NetWarps inside."""
    inner = {name: netwarp for name, netwarp in zip(model.layers, model.netwarps, strict=True) if name not in OUTPUTS}
    if not inner:
        return VideoModel(model.base, training_free=True, interpolation=row.interpolation)
    layers, start = [*inner, "log_probs"], TRAINING_FREE_START
    free = VideoModel(model.base, layers, flow_cnn=None, memory="fused", gate=TRAINING_FREE_GATE, start=start)
    for name, netwarp in inner.items():
        free.netwarps[free.layers.index(name)].load_state_dict(netwarp.state_dict())
    return free.eval()


def tested_model(row: Row, model: VideoModel) -> StreamModel:
    """A row's model as it is tested: on the frames that the row's windows and scales make of each, or on whole ones."""
    if row.then_free:
        model = with_free_memory(row, model)
    if row.windows is None:
        return model
    views, own = row.windows, preprocess_of(model.base).size
    if own is not None and views.scales is not None and len(views.scales) == 1:
        # A network for frames of one size: what it resizes them to is scaled, and not the frames.
        height, width = (round(views.scales[0] * n) for n in own)
        model.preprocess = replace(model.preprocess, size=(height, width))
        return model
    pixels = MOST_PIXELS if views.window is None else views.window[0] * views.window[1]
    batch = min(max(MOST_PIXELS // pixels, 1), MOST_WINDOWS)
    return Sliding(model, views.window, views.stride, views.scales, views.flip, batch=batch)


def trained_parameters(model: VideoModel) -> dict[str, int]:
    """How many numbers of each parameter of a model are trained, by its name."""
    return {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
