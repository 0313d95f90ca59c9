"""The demo's page: one HTML file that holds its own pictures and players and asks nothing of the network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from netwarp.data.streets import CLASSES
from netwarp.engine.evaluate import Scores
from netwarp.errors import MissingExtraError
from netwarp.model.label_set import CAMVID
from netwarp.report.flow_section import flow_section
from netwarp.report.made_section import NEXT, made_section, processor
from netwarp.report.pictures import mp4_uri
from netwarp.report.story import RECIPE, Story
from netwarp.report.table import COLUMNS, cells, per_class_cells
from netwarp.report.thin_section import THIN, thin_section
from netwarp.report.verdict import NETWARP, verdict

__all__ = ["need_jinja2", "render_page"]


def need_jinja2() -> None:
    """Say at once, and not after minutes of work, that the page cannot be written.

    Raises:
        MissingExtraError: Jinja2 is not installed.
    """
    try:
        import jinja2  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("Jinja2", "report", "the demo's page") from error


def render_page(story: Story, video: Path, video_size: tuple[int, int], command: str) -> str:
    """The page as HTML.

    Args:
        story: What to tell.
        video: The four panels, an mp4 file.
        video_size: Its (width, height).
        command: What the user called.

    Returns:
        The text of the file.
    """
    import jinja2

    template = files("netwarp.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(template).render(
        frames=sum(len(clip) for clip in story.test),
        clips=len(story.test),
        processor=processor(),
        columns=COLUMNS,
        rows=_rows(story),
        verdict=verdict(story.scores, CLASSES),
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
    return round(scores.miou, 2), round(scores.tiou[2], 2), round(scores.tc, 2)


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
        values = [round(scores.per_class[index], 1) for scores in story.scores.values()]
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
