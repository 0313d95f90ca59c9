"""``netwarp segment``: a video through a segmentation network, steadied over time."""

from __future__ import annotations

import argparse
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from netwarp.cli.models import (
    add_base_arguments,
    add_device_argument,
    base_of,
    device_named,
    size,
    warn_of_random_weights,
)
from netwarp.cli.parser import from_text
from netwarp.cli.terminal import progress_bar, quiet_loading, say
from netwarp.cli.view_options import add_view_arguments, in_views, preprocess_for, say_how_many, views_of
from netwarp.errors import ConfigurationError, InputError, OutputError
from netwarp.output_files import VIDEO_ENDINGS, check_places

if TYPE_CHECKING:
    from netwarp.inference.render import Rendered
    from netwarp.inference.sliding import Sliding
    from netwarp.inference.views import Views
    from netwarp.model import VideoModel
    from netwarp.video.source import FrameSource

SUMMARY = "segment a video: any network for single images, as an online video network"

EXAMPLE = """\
examples:
  netwarp segment street.mp4 out.mp4 \\
      --base torchvision:lraspp_mobilenet_v3_large --weights default
  netwarp segment "frames/*.jpg" out.mp4 --masks masks/ --side-by-side \\
      --base netwarp:espnet --weights espnet.pth
  netwarp segment street.mp4 masks/ --model trained.safetensors
  netwarp segment street.mp4 out.mp4 --model psp.safetensors \\
      --window 713 --scales 0.5,1,1.5 --flip

INPUT is a video file, a folder or a quoted glob of images, a camera's index, or a stream's address.
OUTPUT is a video (.mp4, .m4v, .mov, .mkv: the classes' colours over the frames) or a folder (label maps: indexed PNG).
With --base no training is needed; 'netwarp layers' lists what --layers can name."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("input", metavar="INPUT", help="what to segment")
    parser.add_argument("output", metavar="OUTPUT", help="the video or folder to write")
    parser.add_argument("--model", metavar="FILE", help="a model that VideoModel.save wrote")
    add_base_arguments(parser, required=False)
    parser.add_argument(
        "--layers",
        nargs="+",
        metavar="LAYER",
        help="where a --base gets its NetWarps: names of its layers, output or log_probs (default: log_probs)",
    )
    parser.add_argument(
        "--flow",
        metavar="SPEC",
        help="dis[:ultrafast|fast|light|medium][@FRACTION], raft[:FILE], precomputed:FOLDER or zero (default: dis)",
    )
    parser.add_argument("--masks", metavar="DIR", help="write label maps too, into this folder")
    parser.add_argument(
        "--side-by-side", action="store_true", help="the network frame by frame on the left, over time on the right"
    )
    parser.add_argument(
        "--frame-by-frame", action="store_true", help="the network alone, without memory: what to compare with"
    )
    parser.add_argument("--no-cuts", action="store_true", help="do not look for scene cuts, which start anew")
    parser.add_argument(
        "--size", metavar="WxH", type=size, help="size that frames get for the network; results come at frame size"
    )
    add_view_arguments(parser)
    add_device_argument(parser)
    parser.add_argument(
        "--alpha", type=_opacity, default=0.5, help="opacity of the classes' colours, 0 to 1 (default: 0.5)"
    )
    parser.add_argument(
        "--quality", metavar="CRF", type=_crf, default=18, help="of the video, 0 (lossless) to 51 (default: 18)"
    )
    parser.add_argument(
        "--fps", type=_rate, help="frames a second of images, which do not say it themselves (default: 25)"
    )


def run(options: Namespace) -> None:
    """Segment; see the module."""
    _check_combinations(options)
    views = views_of(options)
    places = _places(options)
    from netwarp.cli.terminal import keep_freed_memory
    from netwarp.video.open import open_frames

    keep_freed_memory()
    with open_frames(options.input, image_fps=options.fps or 25.0) as source:
        _check_rate(options, source)
        check_places(source.paths, video=places.video, masks=places.masks)
        video = _model(options, source, views)
        _lay_out(video)
        model = in_views(video, views, options.batch)
        if source.size is not None:
            say_how_many(views, model.base, source.size)
        rendered = _render(options, source, model, places)
    say(f"{_count(rendered)}: {places}")
    if rendered.damage:
        raise InputError(f"{rendered.damage}; what could be read is in {places}")


@dataclass(frozen=True)
class _Places:
    """Where results go."""

    video: Path | None
    masks: Path | None

    def __str__(self) -> str:
        return " and ".join(str(place) for place in (self.video, self.masks) if place is not None)


def _places(options: Namespace) -> _Places:
    for name in ("output", "masks"):
        if options[name] == "":
            raise ConfigurationError(f"{name.upper()} is an empty text: name a place ('.' is the current folder)")
    output = Path(options.output)
    masks = None if options.masks is None else Path(options.masks)
    if output.suffix.lower() in VIDEO_ENDINGS and not output.is_dir():
        return _Places(output, masks)
    if output.suffix and not options.output.endswith(("/", os.sep)) and not output.is_dir():
        raise OutputError(
            f"cannot write {output}: OUTPUT is a video ({', '.join(VIDEO_ENDINGS)}) "
            "or a folder for label maps (end a name with a dot in it with /)"
        )
    for option, value in (("--masks", masks), ("--side-by-side", options.side_by_side)):
        if value:
            raise ConfigurationError(
                f"{option} goes with a video, and {output} is a folder for label maps: name a video, such as "
                f"{output.name or 'out'}.mp4"
            )
    return _Places(None, output)


def _check_combinations(options: Namespace) -> None:
    if options.model is None and options.base is None:
        raise ConfigurationError("no network: give --base SPEC (any network) or --model FILE (a saved video model)")
    if options.base is None:
        for option in ("weights", "classes"):
            if options[option] is not None:
                raise ConfigurationError(f"--{option} goes with --base: a model's are in its file")
    if options.model is not None and options.layers is not None:
        raise ConfigurationError("--layers goes with --base: a model's are in its file")
    if options.frame_by_frame:
        for option in ("layers", "flow", "side_by_side"):
            if options[option]:
                raise ConfigurationError(
                    f"--{option.replace('_', '-')} makes no sense with --frame-by-frame: leave one of them out"
                )
    for option in ("window", "scales"):
        if options[option] is not None and options.size is not None:
            raise ConfigurationError(
                f"--size and --{option} both say what size the network sees: leave one of them out"
            )


def _check_rate(options: Namespace, source: FrameSource) -> None:
    from netwarp.video.images import ImageFiles

    if options.fps is not None and not isinstance(source, ImageFiles):
        raise ConfigurationError(f"--fps is for images: {source.description} has times of its own")


def _model(options: Namespace, source: FrameSource, views: Views) -> VideoModel:
    """The video model that the options describe, tried on a frame (or view of one) of the source's size."""
    from netwarp.flow import make_flow
    from netwarp.model import Preprocess, VideoModel
    from netwarp.model.layers import probe

    where = device_named(options.device)
    example = views.first(source.size) if source.size is not None else views.window
    flow = make_flow(options.flow or "dis")
    base = None if options.base is None else base_of(options).to(where)
    if options.model is not None:
        with quiet_loading(options.debug):
            from netwarp.bases.load_model import load

            model = load(options.model, base).to(where)
        if options.flow is not None:
            model.flow = flow
        if options.size is not None:
            model.preprocess = replace(model.preprocess, size=options.size)
        model.preprocess = preprocess_for(views, model.preprocess, source.size)
        if views:
            model.example_size = example  # what else a network is tried on, for --side-by-side
        if not options.frame_by_frame:
            probe(model.base, model.preprocess, example)
            return model
        return VideoModel(
            model.remove(),
            [],
            preprocess=model.preprocess,
            classes=model.classes,
            palette=model.palette,
            example_size=example,
        )
    assert base is not None  # _check_combinations
    preprocess = getattr(base, "preprocess", None) or Preprocess()
    if options.size is not None:
        preprocess = replace(preprocess, size=options.size)
    preprocess = preprocess_for(views, preprocess, source.size)
    layers = [name for text in options.layers for name in text.split(",") if name] if options.layers else None
    model = VideoModel(
        base,
        [] if options.frame_by_frame else layers,
        flow,
        training_free=not options.frame_by_frame,
        preprocess=preprocess,
        example_size=example,
    )
    warn_of_random_weights(options)
    return model


def _lay_out(model: VideoModel) -> None:
    from netwarp.bases.memory_format import lay_out  # not before the input is known to exist: it needs torch

    lay_out(model.base)


def _render(options: Namespace, source: FrameSource, model: VideoModel | Sliding, places: _Places) -> Rendered:
    from netwarp.inference.render import Interrupted, render

    with progress_bar(source.length) as advance:
        try:
            return render(
                source,
                model,
                video=places.video,
                masks=places.masks,
                compare=options.side_by_side,
                alpha=options.alpha,
                quality=options.quality,
                detect_cuts=not options.no_cuts,
                on_frame=lambda _: advance(),
            )
        except Interrupted as interrupt:
            kept = f"what is finished is in {places}" if interrupt.frames else "nothing was written"
            raise KeyboardInterrupt(f"{interrupt}: {kept}") from interrupt


def _count(rendered: Rendered) -> str:
    rate = rendered.frames / max(rendered.seconds, 1e-9)
    noun = "frame" if rendered.frames == 1 else "frames"
    return f"{rendered.frames} {noun} in {rendered.seconds:.1f} s ({rate:.1f} a second)"


def _number(text: str, lowest: float, highest: float, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not lowest <= value <= highest:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return value


@from_text
def _opacity(text: str) -> float:
    return _number(text, 0, 1, "a number from 0 to 1")


@from_text
def _rate(text: str) -> float:
    return _number(text, 1e-3, 1e4, "a number of frames a second, such as 15")


@from_text
def _crf(text: str) -> int:
    value = _number(text, 0, 51, "a whole number from 0 (lossless) to 51 (worst)")
    if value != int(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(value)
