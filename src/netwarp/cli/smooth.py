"""``netwarp smooth``: label maps or probabilities that another program saved, steadied over time; no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from netwarp.cli.arguments import MASK_VALUE, argument, flag, local_place, option
from netwarp.cli.label_options import LabelOptions, label_settings
from netwarp.cli.network_options import ClassesOption
from netwarp.cli.result_options import (
    LABEL_FILES,
    ColourOptions,
    LabelFileOptions,
    Palette,
    paint,
    palette_of,
    without_void,
)
from netwarp.cli.terminal import progress_bar, say, warn
from netwarp.errors import ConfigurationError, InputError, OutputError
from netwarp.label_sets import LabelSet
from netwarp.output_places import VIDEO_ENDINGS, check_places

EXAMPLE = """\
examples:
  netwarp smooth street.mp4 masks/ steady/
  netwarp smooth "frames/*.jpg" masks/ steady/ --offline --overlay steady.mp4
  netwarp smooth street.mp4 annotated/ filled/ --offline --doubt doubt/

MASKS holds a label map (PNG, TIFF, BMP: indexed or gray, 255 for none) or class probabilities (.npy: floats [C,H,W])
for each frame, or for some: of its size, and named as the image, or with the frame's number, from 0, in its name
(000012.png). A frame without gets the labels of the last one that has some, moved along the flow: a video that was
annotated now and then is filled. --offline fills from both sides; --doubt shows where a label needs a look: what came
into view, or moved as the flow cannot follow."""


@dataclass(frozen=True, kw_only=True)
class Request(LabelOptions, ClassesOption, LabelFileOptions, ColourOptions):
    """What is asked for."""

    input: str = argument("INPUT", "the video: a file, or a folder or quoted glob of images")
    masks: str = argument("MASKS", "the folder with what was saved of its frames")
    output: str = argument("OUTPUT", "the folder for label maps: indexed PNG", type=local_place)
    overlay: str | None = option(
        "FILE", "write the labels' colours over the frames too, into this video", type=local_place
    )
    doubt: str | None = option(
        "DIR",
        "write how far each label that was filled in is to be doubted, into this folder: gray PNG, 0 to 255",
        type=local_place,
    )
    mask_value: str | None = option(*MASK_VALUE)
    flow: str | None = option("SPEC", "as for 'netwarp segment' (default: dis)")
    no_cuts: bool = flag("do not look for scene cuts, which start anew")


def run(request: Request) -> None:
    """Steady what was saved; see the module."""
    from netwarp.datasets.check import ignored_class, label_counts
    from netwarp.datasets.registry import mask_values
    from netwarp.inference.render import render
    from netwarp.inference.saved_answers import (
        SavedAnswers,
        SteadiedAnswers,
        WhereSaved,
        classes_in,
        palette_in,
        saved_files,
    )
    from netwarp.video.images import ImageFiles
    from netwarp.video.label_maps import is_label_map, read_mask
    from netwarp.video.open import open_frames

    settings, palette = label_settings(request), palette_of(request)
    values = None if request.mask_value is None else mask_values(request.mask_value)
    if request.legend and request.overlay is None:
        raise ConfigurationError("{option} is drawn into a video: name one by --overlay", option="legend")
    output, saved = Path(request.output), Path(request.masks)
    if output.suffix.lower() in VIDEO_ENDINGS and not output.is_dir():
        raise OutputError(f"{output} is the name of a video, and OUTPUT a folder for label maps: --overlay {output}")
    for place in (output, request.doubt and Path(request.doubt)):
        if place and place.resolve() == saved.resolve():
            raise OutputError(f"{place} holds what was saved, which must stay: name another folder")
    given = {"masks": request.output, "video": request.overlay, "doubt": request.doubt}
    given |= {name: getattr(request, name) for name in LABEL_FILES}
    places: dict[str, Any] = {what: Path(place) for what, place in given.items() if place is not None}
    named = " and ".join(map(str, places.values()))
    with open_frames(request.input) as source:
        check_places([saved, *source.paths], video=places.get("video"), files=map(places.get, LABEL_FILES))
        names = [path.stem for path in source.paths] if isinstance(source, ImageFiles) else None
        files = saved_files(saved, names)
        if 0 not in files:
            raise InputError(
                f"{saved} has nothing of frame 0, the first, and begins with frame {min(files)}: number files from 0, "
                "or save an answer to it too"
            )
        # A video's length may be wrong by a few.
        few = 0 if source.length is None or names is not None else max(1, source.length // 100)
        if source.length is not None and max(files) >= source.length + few:
            raise InputError(
                f"{saved} has something of frame {max(files)}, but {source.description} has {source.length} frames: "
                "is it another's?"
            )
        maps = [partial(read_mask, path, values) for path in files.values() if is_label_map(path)]
        if doubt := ignored_class(label_counts(maps, most=20).tolist()):
            warn(f"of {saved} {doubt}")
        found, gaps = classes_in(files, values)
        classes, labels = _classes(request, found, palette)
        answers = SavedAnswers(files, classes, values, gaps=gaps)
        model = SteadiedAnswers(
            answers,
            flow=request.flow or "dis",
            training_free=True,
            task=answers.task,
            classes=labels,
            palette=palette_in(files, classes),
        )
        paint(model, palette)
        whole = source.length is not None and all(number in files for number in range(source.length - few))
        with progress_bar(source.length) as advance:
            rendered = render(
                source,
                model,
                **places,
                # A cut would need an answer there.
                detect_cuts=whole and not request.no_cuts,
                keyframes="all" if whole and not few and request.doubt is None else WhereSaved(files),
                **settings,
                legend=request.legend,
                on_frame=advance,
            )
    say(f"{len(files)} saved, {rendered.frames} written: {named}")
    if rendered.damage:
        raise InputError(f"{rendered.damage}; what could be read is in {named}")
    if max(files) >= rendered.frames:
        warn(f"{saved} has something of frame {max(files)} too, which the video does not have: is it another's?")


def _classes(request: Request, found: int, palette: Palette | None) -> tuple[int, Sequence[str] | None]:
    given = request.classes
    if given is None and isinstance(palette, LabelSet) and len(palette) >= found:
        given = without_void(palette, found).names
    count = found if given is None else given if isinstance(given, int) else len(given)
    if count < found:
        raise ConfigurationError(f"--classes says {count}, but what was saved has {found}", option="classes")
    return count, None if given is None or isinstance(given, int) else given
