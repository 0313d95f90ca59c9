"""The arguments that name a network, and the network that they name."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from netwarp.cli.parser import from_text
from netwarp.cli.terminal import quiet_loading, warn
from netwarp.convert.architecture import ARCHITECTURES
from netwarp.errors import ConfigurationError

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "OWN_SCHEMES",
    "add_base_arguments",
    "add_classes_argument",
    "add_device_argument",
    "base_of",
    "device_named",
    "size",
    "warn_of_random_weights",
]

OWN_SCHEMES = ("netwarp", "smp", "torchvision")
"""Of bases that are known: convolutional networks, built here with random weights where none are given."""


def add_base_arguments(parser: ArgumentParser, *, required: bool) -> None:
    """Declare ``--base``, ``--weights`` and ``--classes``."""
    parser.add_argument(
        "--base",
        metavar="SPEC",
        required=required,
        help="the network: torchvision:NAME, smp:ARCH/ENCODER, hf:REPO_OR_FOLDER, netwarp:NAME or "
        "package.module:callable",
    )
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="its weights: a .pth, .pt or .safetensors file, or the name of weights that its library publishes "
        "('default': the best)",
    )
    add_classes_argument(parser)


def add_classes_argument(parser: ArgumentParser) -> None:
    """Declare ``--classes``."""
    parser.add_argument(
        "--classes",
        metavar="N|NAME,…",
        type=_classes,
        help="number of its classes, or their names (default: what the weights say)",
    )


def add_device_argument(parser: ArgumentParser) -> None:
    """Declare ``--device``; :func:`device_named` says which it is."""
    parser.add_argument(
        "--device",
        metavar="NAME",
        type=_device,
        default="auto",
        help="cpu, cuda, cuda:N, or auto: the first GPU if there is one (default: auto)",
    )


def base_of(options: Namespace) -> nn.Module:
    """Load the network that ``--base``, ``--weights`` and ``--classes`` name."""
    with quiet_loading(options.debug):
        from netwarp.bases import load_base

        return load_base(options.base, options.weights, options.classes)


def warn_of_random_weights(options: Namespace) -> None:
    """Say of a network that nobody gave weights that its results mean nothing, and where to get some."""
    scheme, _, name = options.base.partition(":")
    if options.weights is not None or scheme not in OWN_SCHEMES:
        return
    if scheme != "netwarp":
        where = "give --weights FILE, or --weights default where its library has them"
    elif any(known.base == name for known in ARCHITECTURES.values()):
        where = (
            "give --weights FILE ('netwarp convert' makes one of published weights, 'netwarp train' of labelled clips)"
        )
    else:
        where = "give --weights FILE ('netwarp train' makes one of labelled clips)"
    warn(f"{options.base} has random weights: {where}")


def device_named(name: str) -> str:
    """The device that ``--device`` means, in torch's words.

    Raises:
        ConfigurationError: There is no such device.
    """
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


@from_text
def _device(text: str) -> str:
    """Check the form of ``--device``.

    >>> _device("cuda:1")
    'cuda:1'
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is none of auto, cpu, cuda and cuda:N")
    return text


@from_text
def size(text: str) -> tuple[int, int]:
    """Read ``--size``, width first as everybody writes it.

    Returns:
        (height, width).

    >>> size("640x480")
    (480, 640)
    """
    match = re.fullmatch(r"([1-9]\d{0,4})[xX×*]([1-9]\d{0,4})", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size: write WIDTHxHEIGHT in pixels, such as 640x480")
    return int(match[2]), int(match[1])


@from_text
def _classes(text: str) -> int | Sequence[str]:
    names = [name.strip() for name in text.split(",")]
    if re.fullmatch(r"[+-]?\d+", text.strip()):
        return int(text)
    if len(names) < 2 or not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor names with commas between them")
    return names
