"""The options that name a network, and the one place that builds a model from them."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from netwarp.cli.arguments import CommandRequest, flag, option, option_name
from netwarp.cli.terminal import quiet_loading, warn
from netwarp.cli.view_options import ViewOptions, preprocess_for, views_of
from netwarp.errors import ConfigurationError

if TYPE_CHECKING:
    from torch import nn

    from netwarp.model import Preprocess, VideoModel


def size(text: str) -> tuple[int, int]:
    """Read ``--size``, width first as everybody writes it.

    >>> size("640x480")
    (480, 640)
    """
    match = re.fullmatch(r"([1-9]\d{0,4})[xX×*]([1-9]\d{0,4})", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size: write WIDTHxHEIGHT in pixels, such as 640x480")
    return int(match[2]), int(match[1])


def _device(text: str) -> str:
    """Check the form of ``--device``.

    >>> _device("cuda:1")
    'cuda:1'
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is none of auto, cpu, cuda and cuda:N")
    return text


def _keyframes(text: str) -> str:
    """Check ``--keyframes``.

    >>> _keyframes("budget:0.25")
    'budget:0.25'
    """
    share = re.fullmatch(r"budget:(\d*\.?\d+)", text)
    if not (text in ("all", "auto") or re.fullmatch(r"[1-9]\d{0,4}", text) or (share and 0 < float(share[1]) <= 1)):
        raise argparse.ArgumentTypeError(
            f"{text!r} names no keyframes: write all, auto, a number from 1, or budget:SHARE with a share up to 1"
        )
    return text


def _divisor(text: str) -> int:
    """Check ``--divisor``.

    >>> _divisor("32")
    32
    """
    if not re.fullmatch(r"[1-9]\d{0,3}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no multiple to pad to: write a whole number from 1 to 9999")
    return int(text)


def several_keyframes(text: str) -> tuple[str, ...]:
    """Read names of keyframes with commas between them.

    >>> several_keyframes("all,2")
    ('all', '2')
    """
    return tuple(dict.fromkeys(_keyframes(name.strip()) for name in text.split(",")))


def _classes(text: str) -> int | Sequence[str]:
    names = [name.strip() for name in text.split(",")]
    if re.fullmatch(r"[+-]?\d+", text.strip()):
        return int(text)
    if len(names) < 2 or not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor names with commas between them")
    return names


def _three(text: str) -> tuple[float, ...]:
    """Read ``--mean`` or ``--std``, one number for each channel.

    >>> _three("0.4,0.4,0.5")
    (0.4, 0.4, 0.5)
    """
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise argparse.ArgumentTypeError(
            f"{text!r} are not three numbers with commas between them, such as 0.4,0.4,0.4"
        )
    return numbers


def _white(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no value for white: write 1 or 255")
    return value


ENGINES = ("onnxruntime", "openvino")
_OF_A_LIBRARY = "--weights default takes its library's, where there are any"
_WHERE_FROM = {  # by scheme, of networks that are built here with random weights where none are given
    "netwarp": "'netwarp train' makes one of labelled clips, 'netwarp convert' one of published Caffe weights",
    "smp": _OF_A_LIBRARY,
    "torchvision": _OF_A_LIBRARY,
}


@dataclass(frozen=True, kw_only=True)
class ClassesOption(CommandRequest):
    """How many outputs a network has."""

    classes: int | Sequence[str] | None = option(
        "N|NAME,…", "number of its classes, or their names (default: what the weights say)", type=_classes
    )


@dataclass(frozen=True, kw_only=True)
class BaseOptions(ClassesOption):
    """Which network."""

    base: str | None = option(
        "SPEC",
        "the network: torchvision:NAME, smp:ARCH/ENCODER, hf:REPO_OR_FOLDER, netwarp:NAME, onnx:FILE or "
        "package.module:callable",
    )
    weights: str | None = option(
        "FILE",
        "its weights: a .pth, .pt or .safetensors file, or the name of weights that its library publishes "
        "('default': the best)",
    )


@dataclass(frozen=True, kw_only=True)
class PreprocessOptions(BaseOptions):
    """What it wants done to a frame."""

    mean: tuple[float, ...] | None = option(
        "R,G,B", "what is taken off a frame, by channel, in units of --scale (default: the network's own)", type=_three
    )
    std: tuple[float, ...] | None = option("R,G,B", "what it is divided by then, likewise", type=_three)
    scale: float | None = option("WHITE", "the value that white has before, such as 1 or 255", type=_white)
    order: Literal["rgb", "bgr"] | None = option("ORDER", "of the channels, rgb or bgr", choices=("rgb", "bgr"))


PREPROCESS = ("mean", "std", "scale", "order")
"""Options that replace parts of a network's preprocessing."""


@dataclass(frozen=True, kw_only=True)
class NetworkOptions(PreprocessOptions):
    """What runs it."""

    engine: str | None = option(
        "NAME",
        "what runs it, onnxruntime (the default of an onnx:FILE) or openvino; where NetWarps are at its output alone",
        choices=ENGINES,
    )
    dtype: str | None = option(
        "NAME", "what it computes in, bfloat16 or float16 (default: float32)", choices=("bfloat16", "float16")
    )


@dataclass(frozen=True, kw_only=True)
class DeviceOption(CommandRequest):
    """Where it runs; :func:`device_named` says which device that is."""

    device: str = option(
        "NAME",
        "cpu, cuda, cuda:N, or auto: the first GPU if there is one (default: auto)",
        default="auto",
        type=_device,
    )


@dataclass(frozen=True, kw_only=True)
class ModelOptions(NetworkOptions, ViewOptions, DeviceOption):
    """A saved model, or a network with a memory: what :func:`build_model` builds."""

    model: str | None = option("FILE", "a model that VideoModel.save wrote")
    layers: list[str] | None = option(
        "LAYER",
        "where a --base gets its NetWarps: names of its layers ('netwarp layers' lists them), output or log_probs "
        "(default: log_probs)",
        nargs="+",
        names=(),
    )
    flow: str | None = option(
        "SPEC",
        "dis[:authors|ultrafast|fast|light|medium|accurate][@FRACTION], raft[:FILE], precomputed:FOLDER, zero, or true "
        "(that of rendered clips, where clips are measured) (default: dis, or the model's)",
    )
    interpolation: Literal["bilinear", "bicubic"] | None = option(
        "NAME",
        "how the NetWarps of a --base sample a representation, bilinear or bicubic (default: bilinear)",
        choices=("bilinear", "bicubic"),
    )
    compile: bool = flag("let torch.compile make faster code for the network, which takes a minute or more at first")
    frame_by_frame: bool = flag("the network alone, without memory: what to compare with")
    keyframes: str | None = option(
        "WHICH",
        "frames that the network runs on, the others get its last answer moved along the flow: all, N for every Nth, "
        "auto, or budget:SHARE of them at most (default: all)",
        type=_keyframes,
    )
    gate: str | None = option(
        "NAME",
        "trust in the flow: photometric, learned (of a --model alone) or package.module:name (default: photometric)",
    )
    task: str | None = option(
        "TASK",
        "what the outputs of a --base are: classes, binary (one logit), multilabel or regression (depth and other "
        "values; default: what they look like)",
        choices=("classes", "binary", "multilabel", "regression"),
    )
    divisor: int | None = option(
        "N", "pad frames to multiples of N for the network (default: what it turns out to need)", type=_divisor
    )
    size: tuple[int, int] | None = option(
        "WxH", "size that frames get for the network; results come at frame size", type=size
    )


def check_model_options(request: ModelOptions, *memory: str) -> None:
    """See that the options go together; ``memory`` names further fields that ask for a memory."""
    if request.base is None:
        for name in ("weights", "classes", *PREPROCESS):
            if getattr(request, name) is not None:
                raise ConfigurationError(f"--{name} goes with --base: a model's are in its file", option=name)
    if request.model is not None:
        for name in ("layers", "interpolation", "task", *(name for name in memory if name == "training_free")):
            if getattr(request, name):
                raise ConfigurationError(
                    f"{option_name(name)} goes with --base: a model's are in its file", option=name
                )
    if request.frame_by_frame:
        for name in ("layers", "interpolation", "gate", *(() if request.keyframes else ("flow",)), *memory):
            if getattr(request, name):
                raise ConfigurationError(
                    f"{option_name(name)} makes no sense with --frame-by-frame: leave one of them out", option=name
                )
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
    base = None if request.base is None else base_of(request).to(where)
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
        assert request.base is not None
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
    if request.compile:
        model.base.compile()
    return model


def _device_of(request: ModelOptions) -> str:
    """The device of ``--device``: engines work on the CPU."""
    if request.engine is None and not (request.base or "").startswith("onnx:"):
        return device_named(request.device)
    if request.device.startswith("cuda"):
        raise ConfigurationError(f"--device {request.device}: engines run networks on the CPU, leave it out")
    return "cpu"


def base_of(request: PreprocessOptions) -> nn.Module:
    """Load the network that the options name, with the preprocessing that they give."""
    assert request.base is not None
    with quiet_loading(request.debug):
        from netwarp.bases import load_base
        from netwarp.bases.spec import prepared_by

        base = load_base(request.base, request.weights, request.classes, **_how(request))
    given = {name: getattr(request, name) for name in PREPROCESS if getattr(request, name) is not None}
    return prepared_by(base, **given) if given else base


def _how(request: PreprocessOptions) -> dict[str, str | None]:
    """What runs a network, where there are options for it."""
    return {name: getattr(request, name, None) for name in ("engine", "dtype")}


def warn_of_random_weights(base: str, weights: str | None) -> None:
    """Say that a network's results mean nothing without weights, and where to get some."""
    if has_random_weights(base, weights):
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
