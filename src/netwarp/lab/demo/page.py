"""The demo's page: one HTML file that holds its own pictures and players and asks nothing of the network."""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from netwarp.errors import MissingExtraError
from netwarp.evaluation.scores import Scores
from netwarp.lab.demo.media import colours_of, enlarged, in_a_row, mp4_uri, png_uri
from netwarp.lab.demo.story import RECIPE, Story
from netwarp.lab.demo.summary import BASE, COLUMNS, CONTROL, NETWARP, cells, per_class_cells
from netwarp.lab.flow_pictures import Flow, before_and_after, flow_colours, flow_wheel, length_of, round_limit
from netwarp.lab.window_choice import Choice, Place, choose_places
from netwarp.label_sets import CAMVID
from netwarp.streets import CLASSES

THIN = ("pole", "sign", "fence", "pedestrian", "bicyclist")
"""What a fast network loses first."""

FRAMES = 4
TIMES = 3
Picture = npt.NDArray[np.uint8]


def thin_section(story: Story) -> dict[str, Any]:
    """Pictures and text."""
    height, width = story.settings.size
    window = (min(60, height), min(80, width))
    truth = [np.stack([frame.labels for frame in clip]) for clip in story.test]
    thin = [CLASSES.index(name) for name in THIN]
    choice = choose_places(truth, story.labels[BASE], story.labels[NETWARP], thin, window=window, frames=FRAMES)
    named = [
        *((f"Greatest gain{', elsewhere' if i else ''}", place) for i, place in enumerate(choice.best)),
        *([("Typical", choice.typical)] if choice.typical else []),
        *([("Greatest loss", choice.worst)] if choice.worst else []),
    ]
    shown = [_shown(story, title, place, window) for title, place in named]
    return {"how": [_how(choice, window), _found(truth, story, thin)], "shown": shown}


def _how(choice: Choice, window: tuple[int, int]) -> str:
    count = choice.better + choice.worse + choice.same
    names = f"{', '.join(THIN[:-1])} or {THIN[-1]}"
    return (
        f"The windows were chosen by counting. The test video was cut into overlapping windows of {window[1]} × "
        f"{window[0]} pixels and {FRAMES} frames, and in each the pixels were counted that NetWarp has right and frame "
        f"by frame has wrong, less the reverse, among those that are {names} or are taken for one. Of {count} "
        f"windows with such things, NetWarp is ahead in {choice.better}, behind in {choice.worse}, and even in "
        f"{choice.same}. Shown are the greatest gains, the window in the middle of all that differ, and the greatest "
        "loss."
    )


def _found(truth: list[Picture], story: Story, thin: list[int]) -> str:
    """Misses and false alarms of all thin things together: an average can trade one for the other."""
    wanted = np.concatenate([labels.ravel() for labels in truth])
    shares = {}
    for name in (BASE, NETWARP):
        said = np.concatenate([labels.ravel() for labels in story.labels[name]])
        hits = int(((said == wanted) & np.isin(wanted, thin)).sum())
        shares[name] = [100 * hits / max(int(np.isin(labels, thin).sum()), 1) for labels in (wanted, said)]
    (base_found, base_right), (found, right) = shares[BASE], shares[NETWARP]
    return (
        f"Over the whole test video, frame by frame finds {base_found:.1f} % of the pixels of thin things and NetWarp "
        f"{found:.1f} %; of the pixels that they call so, {base_right:.1f} % and {right:.1f} % are right."
    )


def _shown(story: Story, title: str, place: Place, window: tuple[int, int]) -> dict[str, Any]:
    clip = story.test[place.clip][place.frame : place.frame + FRAMES]
    labels = {name: story.labels[name][place.clip][place.frame : place.frame + FRAMES] for name in (BASE, NETWARP)}
    area = np.s_[place.top : place.top + window[0], place.left : place.left + window[1]]
    rows = {
        "Camera": [frame.image[area] for frame in clip],
        "Truth": [colours_of(frame.labels[area], CAMVID.palette) for frame in clip],
        BASE: [colours_of(one[area], CAMVID.palette) for one in labels[BASE]],
        NETWARP: [colours_of(one[area], CAMVID.palette) for one in labels[NETWARP]],
    }
    when = f"frames {place.frame} to {place.frame + FRAMES - 1} of test clip {place.clip + 1}"
    change = f"{abs(place.gain)} {'more' if place.gain >= 0 else 'fewer'}"
    return {
        "title": title,
        "text": f"F{when[1:]}. Of {place.pixels} pixels that count, {change} are right with NetWarp.",
        "strips": [_strip(name, pictures, when) for name, pictures in rows.items()],
    }


def _strip(name: str, pictures: list[Picture], when: str) -> dict[str, Any]:
    row = in_a_row([enlarged(picture, TIMES) for picture in pictures], gap=2 * TIMES)
    return {
        "name": name, "uri": png_uri(row), "width": row.shape[1], "height": row.shape[0],
        "alt": f"{name}: the window in {when}",
    }  # fmt: skip


def flow_section(story: Story) -> dict[str, Any]:
    """Pictures and text.

    The frame shown is that of the first test clip with the most motion by its exact flow; the errors are means over
    that whole clip.
    """
    clip, model = story.test[0], story.models[NETWARP]
    errors = np.zeros(2)
    pixels = 0
    shown = max(range(1, len(clip)), key=lambda t: float(length_of(clip[t].flow).mean()))
    kept: tuple[Flow, Flow] | None = None
    for t in range(1, len(clip)):
        before, after = before_and_after(model, clip[t].image, clip[t - 1].image)
        exact, visible = clip[t].flow, clip[t].visible
        errors += [length_of(flow - exact)[visible].sum() for flow in (before, after)]
        pixels += int(visible.sum())
        if t == shown:
            kept = before, after
    assert kept is not None  # a clip has two frames at least
    before, after = kept
    exact = clip[shown].flow
    change = after - before
    limit = round_limit(float(np.percentile(length_of(exact), 93)))
    difference_limit = round_limit(float(np.percentile(length_of(change), 99)))
    pictures = [
        _picture(clip[shown].image, f"Frame {shown} of the first test clip.", "The street as the camera sees it"),
        _picture(flow_colours(exact, limit), "Exact flow, known to the renderer.", "Exact flow"),
        _picture(flow_colours(before, limit), "Before: DIS flow.", "Flow before the FlowCNN"),
        _picture(flow_colours(after, limit), "After: what NetWarp warps with.", "Flow after the FlowCNN"),
        _picture(flow_colours(change, difference_limit), "After minus before.", "What the FlowCNN changed"),
    ]
    mean = errors / max(pixels, 1)
    return {
        "pictures": pictures,
        "wheel": png_uri(flow_wheel(160)),
        "limit": f"{limit:g}",
        "difference_limit": f"{difference_limit:g}",
        "text": _text(float(mean[0]), float(mean[1]), float(length_of(change).mean())),
    }


def _text(before: float, after: float, change: float) -> str:
    return (
        "The FlowCNN learns from the segmentation loss alone; nothing tells it what the true flow is, and what serves "
        "the labels need not be the true flow (paper, section 4.2). In the frame shown it changes the flow by "
        f"{change:.2f} pixels on average. Over the whole first test clip, where the previous frame shows the same "
        f"point, the mean distance from the exact flow is {before:.2f} pixels before and {after:.2f} after."
    )


def _picture(picture: npt.NDArray[np.uint8], caption: str, alt: str) -> dict[str, Any]:
    return {
        "uri": png_uri(picture), "width": picture.shape[1], "height": picture.shape[0], "caption": caption, "alt": alt,
    }  # fmt: skip


STAGES = {BASE: "training the network", NETWARP: "training NetWarp", CONTROL: "training the control"}

NEXT = (
    {
        "text": "Label the street again with the model that was trained here, frame by frame beside it:",
        "command": "netwarp segment street.mp4 again.mp4 --model model.safetensors --side-by-side",
    },
    {
        "text": "Make a network of your own a video network, with no training and no labels:",
        "command": "netwarp segment video.mp4 labelled.mp4 --base your_module:build --weights weights.pth",
    },
    {
        "text": "See at which of its layers a NetWarp can be put, to train one:",
        "command": "netwarp layers --base your_module:build",
    },
)
"""What a reader can do now, and the command for it."""


def made_section(story: Story, command: str) -> list[tuple[str, str]]:
    """Names and texts: all that is needed to make the page again."""
    settings = story.settings
    height, width = settings.size
    base = sum(parameter.numel() for parameter in story.models[NETWARP].base.parameters())
    own = sum(parameter.numel() for parameter in story.models[NETWARP].parameters()) - base
    spent = [f"{STAGES.get(stage, stage)} {seconds:.0f} s" for stage, seconds in story.seconds.items()]
    return [
        ("Command", command),
        (
            "Video",
            f"Rendered, {width} × {height} at {settings.fps:g} frames a second. Training on {settings.train[0]} clips "
            f"of {settings.train[1]} frames (streets {_range(story.train_seeds)}), test on {settings.test[0]} clips of "
            f"{settings.test[1]} frames (streets {_range(story.test_seeds)}). The settings were chosen on others.",
        ),
        (
            "Network",
            f"netwarp:streetnet, {base:,} parameters, trained frame by frame for {settings.base_steps} batches of "
            f"{settings.batch_size}. It is small and trained only briefly, so that it flickers and loses thin "
            "things as fast networks do.",
        ),
        (
            "NetWarp",
            f"{own:,} parameters, trained on pairs of frames for {settings.video_steps} batches of "
            f"{settings.batch_size} with the network frozen; the control likewise, on the same pairs in that order.",
        ),
        ("Time", f"{', '.join(spent)[0].upper()}{', '.join(spent)[1:]}."),
        (
            "Versions",
            f"netwarp {version('netwarp')}, PyTorch {version('torch')}, Python {platform.python_version()}, "
            f"{processor()}.",
        ),
    ]


def processor() -> str:
    """What the times were measured on, in a few words."""
    threads = torch.get_num_threads()
    return f"{platform.machine()} with {threads} thread{'s' if threads > 1 else ''}"


def _range(seeds: range) -> str:
    return f"{seeds[0]} to {seeds[-1]}"


def need_jinja2() -> None:
    """Say at once, and not after minutes of work, that the page cannot be written."""
    try:
        import jinja2  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("Jinja2", "report", "the demo's page") from error


def render_page(story: Story, video: Path, video_size: tuple[int, int], command: str) -> str:
    """The page as HTML."""
    import jinja2

    template = files("netwarp.lab.demo").joinpath("page.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(template).render(
        frames=sum(len(clip) for clip in story.test),
        clips=len(story.test),
        processor=processor(),
        columns=COLUMNS,
        rows=_rows(story),
        recipe=RECIPE,
        video={"uri": mp4_uri(video), "width": video_size[0], "height": video_size[1]},
        legend=[
            {"name": name, "colour": "#{:02x}{:02x}{:02x}".format(*colour)}
            for name, colour in zip(CAMVID.names, CAMVID.palette, strict=True)
        ],
        places=thin_section(story),
        flow=flow_section(story),
        thin_names=", ".join(THIN),
        class_rows=_class_rows(story),
        made=made_section(story, command),
        next=NEXT,
    )


def _rows(story: Story) -> list[dict[str, Any]]:
    texts = {name: cells(scores) for name, scores in story.scores.items()}
    # Time has no winner: the network alone is always the fastest.
    best = [_best([_values(s)[column] for s in story.scores.values()]) for column in range(3)] + [math.nan]
    return [
        {
            "name": name,
            "ours": name == NETWARP,
            "cells": [
                {"text": text, "best": column < 3 and _values(story.scores[name])[column] == best[column]}
                for column, text in enumerate(texts[name])
            ],
        }
        for name in story.scores
    ]


def _values(scores: Scores) -> tuple[float, float, float]:
    """What the table shows in percent, as far as it shows it: equal texts are equally good."""
    return round(scores["miou"], 2), round(scores["tiou"][2], 2), round(scores["tc"], 2)


def _best(values: Sequence[float]) -> float:
    return max((value for value in values if math.isfinite(value)), default=math.nan)


def _class_rows(story: Story) -> list[dict[str, Any]]:
    counts = sum(np.bincount(frame.labels.ravel(), minlength=len(CLASSES)) for clip in story.test for frame in clip)
    shares = np.asarray(counts, np.float64) / np.sum(counts)
    texts = [per_class_cells(scores) for scores in story.scores.values()]
    order = [*THIN, *(name for name in CLASSES if name not in THIN)]
    rows = []
    for name in order:
        index = CLASSES.index(name)
        values = [round(scores["per_class"][index], 1) for scores in story.scores.values()]
        rows.append(
            {
                "name": name,
                "share": f"{100 * shares[index]:.1f} %",
                "cells": [
                    {"text": text[index], "best": value == _best(values) and value > 0}
                    for text, value in zip(texts, values, strict=True)
                ],
            }
        )
    return rows
