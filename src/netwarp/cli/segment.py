"""``netwarp segment``: a video through a segmentation network, steadied over time."""

from __future__ import annotations

import argparse
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netwarp.cli.arguments import argument, flag, option, whole_number
from netwarp.cli.label_options import LabelOptions, label_settings
from netwarp.cli.models import ModelOptions, build_model, check_model_options
from netwarp.cli.terminal import progress_bar, say
from netwarp.cli.view_options import in_views, say_how_many, views_of
from netwarp.errors import ConfigurationError, InputError, OutputError
from netwarp.output_files import VIDEO_ENDINGS, check_places

if TYPE_CHECKING:
    from netwarp.inference.render import Rendered
    from netwarp.inference.sliding import Sliding
    from netwarp.model import VideoModel
    from netwarp.video.source import FrameSource

EXAMPLE = """\
examples:
  netwarp segment street.mp4 out.mp4 \\
      --base torchvision:lraspp_mobilenet_v3_large --weights default
  netwarp segment "frames/*.jpg" out.mp4 --masks masks/ --side-by-side \\
      --base netwarp:espnet --weights espnet.pth
  netwarp segment street.mp4 masks/ --model trained.safetensors
  netwarp segment street.mp4 out.mp4 --base netwarp:espnet --keyframes auto
  netwarp segment street.mp4 out.mp4 --base netwarp:espnet --offline
  netwarp segment street.mp4 out.mp4 --model psp.safetensors \\
      --window 713 --scales 0.5,1,1.5 --flip

INPUT is a video file, a folder or a quoted glob of images, a camera's index, or a stream's address.
OUTPUT is a video (.mp4, .m4v, .mov, .mkv: the classes' colours over the frames) or a folder (label maps: indexed PNG).
With --base no training is needed; 'netwarp layers' lists what --layers can name."""


def _number(text: str, lowest: float, highest: float, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not lowest <= value <= highest:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return value


def _opacity(text: str) -> float:
    return _number(text, 0, 1, "a number from 0 to 1")


def _rate(text: str) -> float:
    return _number(text, 1e-3, 1e4, "a number of frames a second, such as 15")


@dataclass(frozen=True, kw_only=True)
class Request(ModelOptions, LabelOptions):
    """What is asked for."""

    input: str = argument("INPUT", "what to segment")
    output: str = argument("OUTPUT", "the video or folder to write")
    masks: str | None = option("DIR", "write label maps too, into this folder")
    side_by_side: bool = flag("the network frame by frame on the left, over time on the right")
    no_cuts: bool = flag("do not look for scene cuts, which start anew")
    alpha: float = option("ALPHA", "opacity of the classes' colours, 0 to 1 (default: 0.5)", type=_opacity, default=0.5)
    quality: int = option("CRF", "of the video, 0 (lossless) to 51 (default: 18)", type=whole_number(0, 51), default=18)
    fps: float | None = option(
        "FPS", "frames a second of images and raw streams, which do not say it themselves (default: 25)", type=_rate
    )


def run(request: Request) -> None:
    """Segment; see the module."""
    _check_combinations(request)
    views = views_of(request)
    settings = label_settings(request)
    places = _places(request)
    from netwarp.video.open import open_frames

    with open_frames(request.input, fps=request.fps) as source:
        _check_rate(request, source)
        check_places(source.paths, video=places.video, masks=places.masks)
        video = build_model(request, source.size, memory=not request.frame_by_frame)
        model = in_views(video, views, request.batch)
        if source.size is not None:
            say_how_many(views, model.base, source.size)
        rendered = _render(request, source, model, places, settings)
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


def _places(request: Request) -> _Places:
    for name in ("output", "masks"):
        if getattr(request, name) == "":
            raise ConfigurationError(f"{name.upper()} is an empty text: name a place ('.' is the current folder)")
    output = Path(request.output)
    masks = None if request.masks is None else Path(request.masks)
    if output.suffix.lower() in VIDEO_ENDINGS and not output.is_dir():
        return _Places(output, masks)
    if output.suffix and not request.output.endswith(("/", os.sep)) and not output.is_dir():
        raise OutputError(
            f"cannot write {output}: OUTPUT is a video ({', '.join(VIDEO_ENDINGS)}) "
            "or a folder for label maps (end a name with a dot in it with /)"
        )
    for name, value in (("--masks", masks), ("--side-by-side", request.side_by_side)):
        if value:
            raise ConfigurationError(
                f"{name} goes with a video, and {output} is a folder for label maps: name a video, such as "
                f"{output.name or 'out'}.mp4"
            )
    return _Places(None, output)


def _check_combinations(request: Request) -> None:
    if request.model is None and request.base is None:
        raise ConfigurationError("no network: give --base SPEC (any network) or --model FILE (a saved video model)")
    check_model_options(request, "side_by_side")


def _check_rate(request: Request, source: FrameSource) -> None:
    if request.fps is not None and source.timed:
        raise ConfigurationError(f"--fps is for images and raw streams: {source.description} has times of its own")


def _render(
    request: Request, source: FrameSource, model: VideoModel | Sliding, places: _Places, settings: dict[str, Any]
) -> Rendered:
    from netwarp.inference.render import Interrupted, render

    with progress_bar(source.length) as advance:
        try:
            return render(
                source,
                model,
                video=places.video,
                masks=places.masks,
                compare=request.side_by_side,
                alpha=request.alpha,
                quality=request.quality,
                detect_cuts=not request.no_cuts,
                keyframes=request.keyframes or "all",
                **settings,
                on_frame=advance,
            )
        except Interrupted as interrupt:
            kept = f"what is finished is in {places}" if interrupt.frames else "nothing was written"
            raise KeyboardInterrupt(f"{interrupt}: {kept}") from interrupt


def _count(rendered: Rendered) -> str:
    rate = rendered.frames / max(rendered.seconds, 1e-9)
    noun = "frame" if rendered.frames == 1 else "frames"
    ran = rendered.keyframes
    share = f", the network on {ran:.3g} ({ran / rendered.frames:.0%})" if 0 < ran < rendered.frames else ""
    return f"{rendered.frames} {noun} in {rendered.seconds:.1f} s ({rate:.1f} a second){share}"
