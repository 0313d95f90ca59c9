"""The options that name a network, what it wants, where it runs and what of it a video gets."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from netwarp.cli.arguments import CommandRequest, flag, number, numbers, option, whole_number
from netwarp.cli.view_options import ViewOptions


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


_three = numbers(
    lambda three: len(three) == 3 and all(map(math.isfinite, three)),
    "are not three numbers with commas between them, such as 0.4,0.4,0.4",
)
_white = number(lambda white: 0 < white < math.inf, "is no value for white: write 1 or 255")


BASE = (
    "SPEC",
    "the network: torchvision:NAME, smp:ARCH/ENCODER, hf:REPO_OR_FOLDER, netwarp:NAME, onnx:FILE or "
    "package.module:callable",
)
"""Metavar and help of ``--base``."""

ENGINES = ("onnxruntime", "openvino")


@dataclass(frozen=True, kw_only=True)
class ClassesOption(CommandRequest):
    """How many outputs a network has."""

    classes: int | Sequence[str] | None = option(
        "N|NAME,…", "number of its classes, or their names (default: what the weights say)", type=_classes
    )


@dataclass(frozen=True, kw_only=True)
class BaseOptions(ClassesOption):
    """Which network."""

    base: str | None = option(*BASE)
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
        "N",
        "pad frames to multiples of N for the network (default: what it turns out to need)",
        type=whole_number(1, 9999),
    )
    size: tuple[int, int] | None = option(
        "WxH", "size that frames get for the network; results come at frame size", type=size
    )
