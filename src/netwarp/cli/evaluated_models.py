"""The arguments of ``netwarp evaluate`` that name a network, and the models that they describe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jsonargparse import Namespace

from netwarp.cli.network import base_of, device_named, warn_of_random_weights
from netwarp.cli.terminal import quiet_loading, warn
from netwarp.cli.views import VIEWS, in_views, preprocess_for, say_how_many, views_of
from netwarp.errors import ConfigurationError

if TYPE_CHECKING:
    from torch import nn

    from netwarp.data.clips import ClipData
    from netwarp.engine.sliding import Sliding
    from netwarp.model import VideoModel

__all__ = ["ALONE", "FREE", "MODEL", "check_combinations", "evaluated_models", "is_alone"]

ALONE, FREE, MODEL = "frame by frame", "training-free", "model"
"""The names of the table's rows."""


def check_combinations(options: Namespace) -> None:
    """See that the arguments of the command go together.

    Raises:
        ConfigurationError: They do not.
    """
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
    """Build the models, and try them on a frame (or view of one) of the data's size.

    Args:
        options: The command's.
        data: What they will be measured on; it has a frame.

    Returns:
        By name; what was asked for comes last, after what it is compared with.

    Raises:
        ConfigurationError: They cannot be built, or have fewer outputs than there are classes.
        WeightsError: Weights cannot be used.
        InputError: The first frame, or precomputed flow, cannot be read.
    """
    from netwarp.bases.layout import lay_out
    from netwarp.data.class_order import doubts_about, in_order_of
    from netwarp.model import VideoModel
    from netwarp.model.carried import preprocess_of

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
    from netwarp.bases.layout import lay_out
    from netwarp.flow import make_flow

    flow = None if options.flow is None else make_flow(options.flow)
    with quiet_loading(options.debug):
        from netwarp.bases.saved import load

        model = load(options.model, base).to(where)
    if flow is not None:
        model.flow = flow
    lay_out(model.base)
    return model
