"""The one place that builds a model from the options that name it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from netwarp.cli.network_options import PREPROCESS, ModelOptions, PreprocessOptions
from netwarp.cli.terminal import quiet_loading, warn
from netwarp.cli.view_options import preprocess_for, views_of
from netwarp.errors import ConfigurationError

if TYPE_CHECKING:
    from torch import nn

    from netwarp.model import Preprocess, VideoModel


OF_A_BASE = ("weights", "classes", *PREPROCESS)
"""Options that only go with ``--base``."""

_OF_A_LIBRARY = "--weights default takes its library's, where there are any"
_WHERE_FROM = {  # by scheme, of networks that are built here with random weights where none are given
    "netwarp": "'netwarp train' makes one of labelled clips, 'netwarp convert' one of published Caffe weights",
    "smp": _OF_A_LIBRARY,
    "torchvision": _OF_A_LIBRARY,
}


def check_model_options(request: ModelOptions, *memory: str) -> None:
    """See that there is a network and the options go together; ``memory`` names further fields that ask for one."""
    if request.model is None and request.base is None:
        raise ConfigurationError("no network: give --base SPEC (any network) or --model FILE (a saved video model)")
    if request.base is None:
        request.refuse(OF_A_BASE, "goes with --base: a model's are in its file")
    if request.model is not None:
        names = ("layers", "interpolation", "task", *(name for name in memory if name == "training_free"))
        request.refuse(names, "goes with --base: a model's are in its file")
    if request.frame_by_frame:
        names = ("layers", "interpolation", "gate", *(() if request.keyframes else ("flow",)), *memory)
        request.refuse(names, "makes no sense with --frame-by-frame: leave one of them out")
    if request.engine is not None and request.compile:
        raise ConfigurationError("--engine and --compile both say what runs the network: leave one of them out")
    views_of(request)
    for name in ("window", "scales"):
        if getattr(request, name) is not None and request.size is not None:
            raise ConfigurationError(f"--size and --{name} both say what size the network sees: leave one of them out")


def build_model(request: ModelOptions, frame: tuple[int, int] | None, *, memory: bool) -> VideoModel:
    """Build the model that the options describe, on its device, and try it on a frame (height, width) or view of it.

    Without ``memory`` it is the network frame by frame.
    """
    from netwarp.bases.in_engine import compute_by
    from netwarp.bases.spec import lay_out
    from netwarp.flow import flow_source
    from netwarp.model import VideoModel
    from netwarp.model.inputs import preprocess_of
    from netwarp.model.layers import probe

    views, where = views_of(request), _device_of(request)
    example = views.first(frame) if frame is not None else views.window
    flow = None if request.flow is None else flow_source(request.flow)
    base = None if request.base is None else base_of(request, example).to(where)
    if request.model is None:
        assert base is not None  # check_model_options and the command have seen to it
        preprocess = _as_asked(request, preprocess_of(base))
        lay_out(base)
        model = VideoModel(
            base,
            (request.layers or None) if memory else [],
            flow or "dis",
            interpolation=request.interpolation or "bilinear",
            training_free=memory,
            task=request.task,
            gate=request.gate if memory else None,
            preprocess=preprocess_for(views, preprocess, frame),
            example_size=example,
        )
        warn_of_random_weights(request.base, request.weights)
        return _running(model, request)
    with quiet_loading(request.debug):
        from netwarp.bases.load_model import load

        model = load(request.model, base, flow=flow, gate=request.gate).to(where)
    if base is None:
        compute_by(model.base, **_how(request))
    model.preprocess = preprocess_for(views, _as_asked(request, model.preprocess), frame)
    lay_out(model.base)
    if views or not memory:
        model.example_size = example  # what the network frame by frame is tried on
    if not memory:
        model.remove()
        return _running(model.without_memory(), request)
    model.preprocess = probe(model.base, model.preprocess, example).preprocess
    return _running(model, request)


def _as_asked(request: ModelOptions, preprocess: Preprocess) -> Preprocess:
    """A network's preprocessing with ``--size`` and ``--divisor``."""
    if request.divisor is not None:
        preprocess = replace(preprocess, divisor=request.divisor, remainder=0)
    return preprocess if request.size is None else replace(preprocess, size=request.size)


def _running(model: VideoModel, request: ModelOptions) -> VideoModel:
    """See that an engine may run a model's network, and compile it if asked to."""
    from netwarp.model.layers import OUTPUTS

    inner = [name for name in model.layers if name not in OUTPUTS]
    if request.engine is not None and inner:
        raise ConfigurationError(
            f"--engine {request.engine} shows the network's result alone, and the model looks at {', '.join(inner)}: "
            "leave --engine out, or take --layers log_probs"
        )
    if request.size is not None and min(request.size) < _SMALL:
        _warn_of_coarse(model, request.size)
    if request.compile:
        try:
            model.base.compile()
        except RuntimeError as error:  # of a scripted network
            raise ConfigurationError(f"--compile cannot change this network ({error}): leave it out") from error
    return model


_SMALL, _FEW = 128, 3
"""Pixels a side below which a frame may leave fewer than so many places a side in a network."""


def _warn_of_coarse(model: VideoModel, size: tuple[int, int]) -> None:
    from netwarp.model.layers import probe

    maps = [info.size for info in probe(model.base, model.preprocess).layers if not info.fault]
    if maps and min(map(min, maps)) < _FEW:
        h, w = min(maps, key=min)
        warn(f"--size {size[1]}x{size[0]} leaves {w}×{h} places inside the network, too few to tell things apart by")


def _device_of(request: ModelOptions) -> str:
    """The device of ``--device``: engines work on the CPU."""
    if request.engine is None and not (request.base or "").startswith("onnx:"):
        return device_named(request.device)
    if request.device.startswith("cuda"):
        raise ConfigurationError(f"--device {request.device}: engines run networks on the CPU, leave it out")
    return "cpu"


def base_of(request: PreprocessOptions, example: tuple[int, int] | None = None) -> nn.Module:
    """Load the network that the options name, with the preprocessing that they give.

    ``example`` is the (height, width) of a frame that it takes, unless ``--size`` says it.
    """
    assert request.base is not None
    with quiet_loading(request.debug):
        from netwarp.bases import load_base
        from netwarp.bases.spec import prepared_by

        example = getattr(request, "size", None) or example
        base = load_base(request.base, request.weights, request.classes, example_size=example, **_how(request))
    given = {name: getattr(request, name) for name in PREPROCESS if getattr(request, name) is not None}
    return prepared_by(base, **given) if given else base


def _how(request: PreprocessOptions) -> dict[str, str | None]:
    """What runs a network, where there are options for it."""
    return {name: getattr(request, name, None) for name in ("engine", "dtype")}


def warn_of_random_weights(base: str | None, weights: str | None) -> None:
    """Say that a network's results mean nothing without weights, and where to get some."""
    if base is not None and has_random_weights(base, weights):
        warn(f"{base} has random weights: give --weights FILE ({_WHERE_FROM[base.partition(':')[0]]})")


def has_random_weights(base: str, weights: str | None) -> bool:
    """Whether a network is built here with weights that mean nothing, if in its classifier alone."""
    scheme = base.partition(":")[0]
    return scheme in _WHERE_FROM and (weights is None or (scheme, weights) == ("netwarp", "imagenet"))


def device_named(name: str) -> str:
    """The device that ``--device`` means, in torch's words."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda"):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            raise ConfigurationError("--device cuda: torch finds no GPU here: take --device cpu, or leave it out")
        index = int(name.partition(":")[2] or 0)
        if index >= count:
            raise ConfigurationError(f"--device {name}: there are {count} GPUs, counted from 0")
    return name
