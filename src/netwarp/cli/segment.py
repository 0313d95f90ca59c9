"""``netwarp segment``: a video through a segmentation network, steadied over time."""

from __future__ import annotations

import contextlib
import functools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netwarp.cli.arguments import argument, flag, local_place, number, numbers, option, seconds, whole_number
from netwarp.cli.label_options import LabelOptions, label_settings
from netwarp.cli.models import build_model, check_model_options
from netwarp.cli.network_options import ModelOptions
from netwarp.cli.result_options import LABEL_FILES, ColourOptions, LabelFileOptions, Palette, paint, palette_of
from netwarp.cli.terminal import progress_bar, say, warn
from netwarp.cli.view_options import in_views, say_how_many
from netwarp.errors import ConfigurationError, InputError, OutputError
from netwarp.output_places import VIDEO_ENDINGS, check_apart, check_places

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
  netwarp segment street.mp4 masks/ --model trained.safetensors \\
      --areas areas.csv
  netwarp segment street.mp4 out.mp4 --base netwarp:espnet --keyframes auto
  netwarp segment street.mp4 out.mp4 --base netwarp:espnet --offline
  netwarp segment street.mp4 out.mp4 --model psp.safetensors \\
      --window 713 --scales 0.5,1,1.5 --flip

INPUT is a video file or a pipe (- is standard input), a folder or a glob of images, a camera's index, or a stream's
address. Several images are a video; of several others, each gets a folder of its name in OUTPUT, or what {name} in
OUTPUT makes of it, as in 'out/{name}.mp4'. Ctrl-C ends a camera.
OUTPUT is a video (.mp4, .m4v, .mov, .mkv: the classes' colours over the frames) or a folder (label maps: indexed PNG).
With --base no training is needed; 'netwarp layers' lists what --layers can name."""


_opacity = number(lambda share: 0 <= share <= 1, "is not a number from 0 to 1")
_rate = number(lambda rate: 1e-3 <= rate <= 1000, "is not a number of frames a second up to 1000, such as 15")
_range = numbers(
    lambda ends: len(ends) == 2 and -math.inf < ends[0] < ends[1] < math.inf,
    "is no range of values: write LOW,HIGH, such as 0,80",
)


@dataclass(frozen=True, kw_only=True)
class RenderOptions(ModelOptions, LabelOptions, ColourOptions):
    """How videos are segmented and drawn, wherever they come from and go to."""

    start: float = option("TIME", "leave out what comes before: seconds, or 1:30", type=seconds, default=0.0)
    duration: float | None = option("TIME", "segment no more than this of it", type=seconds)
    side_by_side: bool = flag("the network frame by frame on the left, over time on the right")
    no_cuts: bool = flag("do not look for scene cuts, which start anew")
    alpha: float | None = option("ALPHA", "opacity of the classes' colours, 0 to 1 (default: 0.5)", type=_opacity)
    range: tuple[float, float] | None = option(
        "LOW,HIGH", "of a regression network's values: masks are 16-bit PNG of it, else 32-bit TIFF", type=_range
    )
    quality: int | None = option("CRF", "of the video, 0 (lossless) to 51 (default: 18)", type=whole_number(0, 51))
    fps: float | None = option(
        "FPS", "frames a second of images and raw streams, which do not say it themselves (default: 25)", type=_rate
    )


@dataclass(frozen=True, kw_only=True)
class Request(RenderOptions, LabelFileOptions):
    """What is asked for."""

    input: list[str] = argument("INPUT", "what to segment", nargs="+")
    output: str = argument("OUTPUT", "the video or folder to write", type=local_place)
    masks: str | None = option("DIR", "write label maps too, into this folder", type=local_place)
    confidence: str | None = option(
        "DIR", "write each label's probability too, into this folder: gray PNG, 0 to 255", type=local_place
    )
    clean: bool = flag("remove label maps that an earlier run left in the folder and this one did not replace")
    every_frame: bool = flag("of a camera or a stream, each frame in order, however far that falls behind")


def run(request: Request) -> None:
    """Segment; see the module."""
    check_combinations(request)
    works = _works(request)
    model_for = model_builder(request)
    faults: list[str] = []
    for source, places in works:
        try:
            _segment_one(request, source, places, model_for)
        except InputError as error:
            if len(works) == 1:
                raise
            warn(str(error))
            faults.append(str(error))
    if faults:
        raise InputError(f"{len(faults)} of {len(works)} inputs could not be segmented, or not wholly: {faults[0]}")


ModelFor = Callable[["tuple[int, int] | None"], "VideoModel | Sliding"]
"""Builds the model for frames of a size (height, width)."""


def _segment_one(request: Request, input_: str | list[str], places: Places, model_for: ModelFor) -> None:
    named = request.files_named(but=("input", *_RESULTS))
    with opened(request, input_, named, places) as source:
        if request.every_frame and not source.live:
            raise ConfigurationError(
                f"{{option}} is for cameras and live streams, and {source.description} is neither: leave it out",
                option="every_frame",
            )
        rendered = _render(request, source, model_for(source.size), places)
    if rendered is None:
        return
    say(f"{_count(rendered)}: {places}")
    if rendered.damage:
        raise InputError(f"{rendered.damage}; what could be read is in {places}")


@contextlib.contextmanager
def opened(
    request: RenderOptions, input_: str | list[str], read: Sequence[Path], places: Places
) -> Iterator[FrameSource]:
    """Open an input, and see before a network is loaded that its results can go to their places.

    ``read`` are other files that are read meanwhile.
    """
    from netwarp.video.open import PATIENCE, open_frames

    fps, start, duration = request.fps, request.start, request.duration
    with open_frames(input_, fps=fps, start=start, duration=duration, patience=PATIENCE) as source:
        from netwarp.inference.render import check_size  # imports torch, which a name that is wrong need not wait for
        from netwarp.video.label_maps import check_mask_folder

        if request.fps is not None and source.timed:
            raise ConfigurationError(f"--fps is for images and raw streams: {source.description} has times of its own")
        folders = (places.masks, places.confidence)
        check_places([*source.paths, *read], video=places.video, folders=folders, files=(places.areas, places.rle))
        for folder in folders:
            if folder is not None:
                check_mask_folder(folder, source.paths)
        check_size(source, places.video, compare=request.side_by_side)
        yield source


def model_builder(request: RenderOptions) -> ModelFor:
    """What builds the model that a request describes, and keeps the last."""
    return functools.lru_cache(maxsize=1)(functools.partial(_model_for, request, palette_of(request)))


def _model_for(request: RenderOptions, palette: Palette | None, frame: tuple[int, int] | None) -> VideoModel | Sliding:
    video = paint(build_model(request, frame, memory=not request.frame_by_frame), palette)
    if request.range is not None and video.task.name != "regression":
        raise ConfigurationError(
            f"{{option}} is for values such as depth, and the network's task is {video.task.name}: leave it out",
            option="range",
        )
    if frame is not None:
        say_how_many(request, video.base, frame)
    return in_views(video, request)


@dataclass(frozen=True)
class Places:
    """Where results go."""

    video: Path | None = None
    masks: Path | None = None
    confidence: Path | None = None
    areas: Path | None = None
    rle: Path | None = None

    def __str__(self) -> str:
        return " and ".join(str(place) for place in vars(self).values() if place)


def _works(request: Request) -> list[tuple[str | list[str], Places]]:
    """What is segmented, each with the places of its results."""
    for name in _RESULTS:
        if getattr(request, name) == "":
            raise ConfigurationError(f"{name.upper()} is an empty text: name a place ('.' is the current folder)")
    from netwarp.video.images import is_image

    inputs: list[str | list[str]] = [*request.input]
    if len(inputs) > 1 and all(is_image(Path(text)) for text in request.input):
        inputs = [request.input]  # a glob that the shell has spelt out
    several = len(inputs) > 1
    if several and Path(request.output).suffix.lower() in VIDEO_ENDINGS and _NAME not in request.output:
        raise ConfigurationError(
            f"OUTPUT is one video, and INPUT are {len(inputs)}: name a folder, or {_NAME} in OUTPUT, as out/{_NAME}.mp4"
        )
    for name in LABEL_FILES:
        if several and _NAME not in (getattr(request, name) or _NAME):
            raise ConfigurationError(
                f"{{option}} is one file, and INPUT are {len(inputs)}: write {_NAME} into its name", option=name
            )
    works: dict[str, tuple[str | list[str], Places]] = {}
    for each in inputs:
        name = _name(each)
        if name in works:
            raise ConfigurationError(f"two of INPUT are called {name}: segment them apart, or rename one")
        given = {what: place for what in _RESULTS if (place := getattr(request, what)) is not None}
        places = _places(request, **{what: _filled(place, name, several) for what, place in given.items()})
        check_apart(vars(places))
        if request.clean and places.masks is None and places.confidence is None:
            raise ConfigurationError("{option} is for folders of label maps: name one by --masks", option="clean")
        works[name] = each, places
    return list(works.values())


_NAME = "{name}"
_RESULTS = ("output", "masks", "confidence", *LABEL_FILES)


def _name(source: str | list[str]) -> str:
    """What an input's results are called."""
    text = str(Path(source[0]).parent) if isinstance(source, list) else source
    return Path(text.rstrip("/")).stem or "input"


def _filled(place: str, name: str, several: bool) -> str:
    if _NAME in place:
        return place.replace(_NAME, name)
    return os.path.join(place, name) if several else place  # noqa: PTH118 (as it was given)


def _places(request: Request, output: str, **others: str) -> Places:
    video, more = Path(output), {what: Path(place) for what, place in others.items()}
    if video.suffix.lower() in VIDEO_ENDINGS and not video.is_dir():
        return Places(video, **more)
    if video.suffix and not output.endswith(("/", os.sep)) and not video.is_dir() and len(request.input) == 1:
        raise OutputError(
            f"cannot write {video}: OUTPUT is a video ({', '.join(VIDEO_ENDINGS)}) "
            "or a folder for label maps (end a name with a dot in it with /)"
        )
    request.refuse(
        ("masks", "side_by_side", "legend", "alpha", "quality"),
        f"goes with a video, and {video} is a folder for label maps: name a video, such as {video.name or 'out'}.mp4",
    )
    return Places(masks=video, **more)


def check_combinations(request: RenderOptions) -> None:
    """See that the options go together."""
    check_model_options(request, "side_by_side")
    label_settings(request)


def rendering(request: RenderOptions) -> dict[str, Any]:
    """Keyword arguments of :func:`netwarp.inference.render.render`: how a video is segmented and drawn."""
    return {
        "compare": request.side_by_side,
        "legend": request.legend,
        "alpha": 0.5 if request.alpha is None else request.alpha,
        "quality": 18 if request.quality is None else request.quality,
        "detect_cuts": not request.no_cuts,
        "keyframes": request.keyframes or "all",
        "value_range": request.range,
        **label_settings(request),
    }


def _render(request: Request, source: FrameSource, model: VideoModel | Sliding, places: Places) -> Rendered | None:
    """Write the results; None where Ctrl-C ended what goes on until it does."""
    from netwarp.inference.render import Interrupted, render

    with progress_bar(source.length) as advance:
        try:
            return render(
                source,
                model,
                **vars(places),
                clean=request.clean,
                every_frame=request.every_frame,
                on_frame=advance,
                **rendering(request),
            )
        except Interrupted as interrupt:
            kept, finished = "nothing was written", places
            if interrupt.frames:
                finished = replace(places, video=interrupt.video, **interrupt.files)
                stays = f", {places.video} stays as it was" if finished.video != places.video else ""
                kept = f"what is finished is in {finished}{stays}"
            if source.live and interrupt.frames:
                noun = "frame" if interrupt.frames == 1 else "frames"
                behind = _behind(interrupt.dropped, interrupt.lag)
                say(f"{interrupt.frames} {noun} of {source.description}{behind}: {finished}")
                return None
            raise KeyboardInterrupt(f"{interrupt}: {kept}") from interrupt


def _count(rendered: Rendered) -> str:
    rate = rendered.frames / max(rendered.seconds, 1e-9)
    noun = "frame" if rendered.frames == 1 else "frames"
    ran = rendered.keyframes
    share = f", the network on {ran:.3g} ({ran / rendered.frames:.0%})" if 0 < ran < rendered.frames else ""
    behind = _behind(rendered.dropped, rendered.lag)
    return f"{rendered.frames} {noun} in {rendered.seconds:.1f} s ({rate:.1f} a second){share}{behind}"


def _behind(dropped: int, lag: float | None) -> str:
    """What became of the frames of a camera, and how late the others were."""
    return "" if lag is None else f", {dropped} left out, {lag:.2f} s behind the camera"
