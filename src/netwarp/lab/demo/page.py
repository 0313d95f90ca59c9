"""The demo's page: one HTML file that holds its own pictures and players and asks nothing of the network."""

from __future__ import annotations

import base64
import math
import platform
from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch

from netwarp.lab.demo.media import Picture, enlarged, in_a_row, png_uri
from netwarp.lab.demo.story import RECIPE, Story
from netwarp.lab.demo.summary import BASE, COLUMNS, CONTROL, NETWARP, WIDTH
from netwarp.lab.flow_pictures import Flow, before_and_after, flow_colours, flow_wheel, length_of, round_limit
from netwarp.lab.output import number
from netwarp.lab.window_choice import Place, choose_places
from netwarp.label_sets import CAMVID
from netwarp.streets import CLASSES
from netwarp.video.label_maps import full_palette

THIN = ("pole", "sign", "fence", "pedestrian", "bicyclist")
"""What a fast network loses first."""

FRAMES = 4
TIMES = 3


def thin_section(story: Story) -> dict[str, Any]:
    """Where NetWarp and the network alone differ most on thin things, and how much of these each finds."""
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
    return {
        "names": THIN,
        "window": window,
        "frames": FRAMES,
        "choice": choice,
        "shares": [_found(truth, story.labels[name], thin) for name in (BASE, NETWARP)],
        "shown": [_shown(story, title, place, window) for title, place in named],
    }


def _found(truth: list[Picture], labels: list[Picture], thin: list[int]) -> list[float]:
    """Shares, in percent, of the pixels of thin things that are found, and of those called so that are right."""
    wanted, said = (np.concatenate([clip.ravel() for clip in clips]) for clips in (truth, labels))
    hits = int(((said == wanted) & np.isin(wanted, thin)).sum())
    return [100 * hits / max(int(np.isin(each, thin).sum()), 1) for each in (wanted, said)]


def _shown(story: Story, title: str, place: Place, window: tuple[int, int]) -> dict[str, Any]:
    clip = story.test[place.clip][place.frame : place.frame + FRAMES]
    labels = {name: story.labels[name][place.clip][place.frame : place.frame + FRAMES] for name in (BASE, NETWARP)}
    area = np.s_[place.top : place.top + window[0], place.left : place.left + window[1]]
    palette = full_palette(CAMVID.palette)
    rows = {
        "Camera": [frame.image[area] for frame in clip],
        "Truth": [palette[frame.labels[area]] for frame in clip],
        BASE: [palette[one[area]] for one in labels[BASE]],
        NETWARP: [palette[one[area]] for one in labels[NETWARP]],
    }
    strips = {
        name: _picture(in_a_row([enlarged(picture, TIMES) for picture in pictures], gap=2 * TIMES))
        for name, pictures in rows.items()
    }
    return {"title": title, "place": place, "strips": strips}


def _picture(picture: Picture) -> dict[str, Any]:
    return {"uri": png_uri(picture), "width": picture.shape[1], "height": picture.shape[0]}


def flow_section(story: Story) -> dict[str, Any]:
    """Flow before and after FlowCNN in the frame of the first test clip with the most motion by its exact flow.

    The errors are means over that whole clip.
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
    pictures = (
        (clip[shown].image, f"Frame {shown} of the first test clip.", "The street as the camera sees it"),
        (flow_colours(exact, limit), "Exact flow, known to the renderer.", "Exact flow"),
        (flow_colours(before, limit), "Before: DIS flow.", "Flow before the FlowCNN"),
        (flow_colours(after, limit), "After: what NetWarp warps with.", "Flow after the FlowCNN"),
        (flow_colours(change, difference_limit), "After minus before.", "What the FlowCNN changed"),
    )
    return {
        "pictures": [{**_picture(picture), "caption": caption, "alt": alt} for picture, caption, alt in pictures],
        "wheel": png_uri(flow_wheel(160)),
        "limits": (limit, difference_limit),
        "errors": errors / max(pixels, 1),
        "change": float(length_of(change).mean()),
    }


STAGES = {BASE: "training the network", NETWARP: "training NetWarp", CONTROL: "training the control"}


def render_page(story: Story, video: Path, video_size: tuple[int, int], command: str) -> str:
    """The page as HTML: numbers and pictures from here, words from its template."""
    import jinja2

    template = files("netwarp.lab.demo").joinpath("page.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    model = story.models[NETWARP]
    uri = base64.b64encode(video.read_bytes()).decode("ascii")
    base, whole = (sum(p.numel() for p in network.parameters()) for network in (model.base, model))
    return environment.from_string(template).render(
        story=story,
        settings=story.settings,
        frames=sum(len(clip) for clip in story.test),
        clips=len(story.test),
        machine=platform.machine(),
        threads=torch.get_num_threads(),
        columns=COLUMNS,
        rows=_rows(story),
        recipe=RECIPE,
        video={"uri": f"data:video/mp4;base64,{uri}", "width": video_size[0], "height": video_size[1]},
        legend=[
            {"name": name, "colour": "#{:02x}{:02x}{:02x}".format(*colour)}
            for name, colour in zip(CAMVID.names, CAMVID.palette, strict=True)
        ],
        thin=thin_section(story),
        flow=flow_section(story),
        class_rows=_class_rows(story),
        command=command,
        parameters={"network": base, "netwarp": whole - base},
        stages=STAGES,
        versions={"netwarp": version("netwarp"), "PyTorch": version("torch"), "Python": platform.python_version()},
    )


def _rows(story: Story) -> list[dict[str, Any]]:
    scores = list(story.scores.values())
    columns = [
        _column([each["miou"] for each in scores], 2),
        _column([each["tiou"][WIDTH] for each in scores], 2),
        _column([each["tc"] for each in scores], 2),
        # Time has no winner: the network alone is always the fastest.
        [{"text": number(each["ms_per_frame"], 1), "best": False} for each in scores],
    ]
    return [
        {"name": name, "ours": name == NETWARP, "cells": line}
        for name, *line in zip(story.scores, *columns, strict=True)
    ]


def _column(values: Sequence[float], digits: int) -> list[dict[str, Any]]:
    """Cells of what is the better the larger it is; equal texts are equally good, and 0 is not."""
    shown = [round(value, digits) for value in values]
    best = max((value for value in shown if value > 0), default=math.nan)
    return [{"text": number(value, digits), "best": value == best} for value in shown]


def _class_rows(story: Story) -> list[dict[str, Any]]:
    counts = sum(np.bincount(frame.labels.ravel(), minlength=len(CLASSES)) for clip in story.test for frame in clip)
    shares = np.asarray(counts, np.float64) / np.sum(counts)
    return [
        {
            "name": name,
            "share": f"{100 * shares[index]:.1f} %",
            "cells": _column([scores["per_class"][index] for scores in story.scores.values()], 1),
        }
        for name in (*THIN, *(name for name in CLASSES if name not in THIN))
        for index in [CLASSES.index(name)]
    ]
