"""The arguments that name a network, and the network that they name."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from netwarp.cli.parser import from_text
from netwarp.cli.terminal import quiet_loading, warn
from netwarp.cli.view_options import VIEWS, in_views, preprocess_for, say_how_many, views_of
from netwarp.convert.architecture import ARCHITECTURES
from netwarp.errors import ConfigurationError

if TYPE_CHECKING:
    from torch import nn

    from netwarp.datasets.clips import ClipData
    from netwarp.inference.sliding import Sliding
    from netwarp.model import VideoModel

__all__ = [
    "ALONE",
    "FREE",
    "MODEL",
    "OWN_SCHEMES",
    "add_base_arguments",
    "add_classes_argument",
    "add_device_argument",
    "base_of",
    "check_combinations",
    "device_named",
    "evaluated_models",
    "is_alone",
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


ALONE, FREE, MODEL = "frame by frame", "training-free", "model"
"""The names of the table's rows."""


def check_combinations(options: Namespace) -> None:
    """See that the arguments of the command go together."""
    if options.predictions is not None:
        for name in ("model", "base", "weights", "classes", "training_free", "layers", "flow", "frame_by_frame",
                     "compare", "history", "save_predictions", *VIEWS):  # fmt: skip
            if options[name] is not None and options[name] is not False:
                raise ConfigurationError(f"{_option(name)} goes with a network, and --predictions takes its place")
        return
    if options.model is None and options.base is None:
        raise ConfigurationError(
            "nothing to evaluate: give --base SPEC (any network), --model FILE (a saved video model) or "
            "--predictions DIR (label maps)"
        )
    views_of(options)
    if options.prediction_ids and not options.save_predictions:
        raise ConfigurationError("--prediction-ids goes with --predictions or --save-predictions")
    if options.base is None:
        for name in ("weights", "classes"):
            if options[name] is not None:
                raise ConfigurationError(f"--{name} goes with --base: a model's are in its file")
    if options.model is not None:
        for name in ("layers", "training_free"):
            if options[name]:
                raise ConfigurationError(f"{_option(name)} goes with --base: a model's memory is in its file")
    if options.frame_by_frame:
        for name in ("layers", "training_free", "flow", "compare"):
            if options[name]:
                raise ConfigurationError(f"{_option(name)} makes no sense with --frame-by-frame: leave one of them out")
    if options.flow is not None and is_alone(options):
        raise ConfigurationError("--flow goes with a memory: give --training-free too")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def is_alone(options: Namespace) -> bool:
    """Whether all that is measured is a network frame by frame."""
    video = options.training_free or options.layers or options.compare
    return bool(options.predictions is None and (options.frame_by_frame or (options.model is None and not video)))


def evaluated_models(options: Namespace, data: ClipData) -> dict[str, VideoModel | Sliding]:
    """Build the models, and try them on a frame (or view of one) of the data's size."""
    from netwarp.bases.memory_format import lay_out
    from netwarp.datasets.class_order import doubts_about, in_order_of
    from netwarp.model import VideoModel
    from netwarp.model.inputs import preprocess_of

    height, width = next(frame for clip in data.clips for frame in clip.frames).image().shape[:2]
    views, size = views_of(options), (height, width)
    example = views.first(size)
    where = device_named(options.device)
    base = None if options.base is None else base_of(options).to(where)
    models = {}
    if options.model is not None:
        model = _saved(options, base, where)
        model.preprocess = preprocess_for(views, model.preprocess, size)
        models[MODEL] = model
        single = VideoModel(
            model.base,
            [],
            preprocess=model.preprocess,
            classes=model.classes,
            palette=model.palette,
            example_size=example,
        )
    else:
        assert base is not None  # the command has checked it
        lay_out(base)
        preprocess = preprocess_for(views, preprocess_of(base), size)
        single = VideoModel(base, [], preprocess=preprocess, example_size=example)
        if not is_alone(options):
            layers = [name for text in options.layers or () for name in text.split(",") if name] or None
            models[FREE] = VideoModel(
                base,
                layers,
                options.flow or "dis",
                training_free=True,
                preprocess=preprocess,
                example_size=example,
            )
        warn_of_random_weights(options)
    if is_alone(options):
        models = {ALONE: single}
    elif options.compare:
        models = {ALONE: single, **models}
    if doubts := doubts_about(single.classes, in_order_of(data, single.classes)):
        warn(doubts)
    say_how_many(views, single.base, size)
    return {name: in_views(model, views, options.batch) for name, model in models.items()}


def _saved(options: Namespace, base: nn.Module | None, where: str) -> VideoModel:
    from netwarp.bases.memory_format import lay_out
    from netwarp.flow import flow_source

    flow = None if options.flow is None else flow_source(options.flow)
    with quiet_loading(options.debug):
        from netwarp.bases.load_model import load

        model = load(options.model, base).to(where)
    if flow is not None:
        model.flow = flow
    lay_out(model.base)
    return model
