"""The page's part on thin things: windows over consecutive frames, enlarged."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from netwarp.data.streets import CLASSES
from netwarp.model.label_set import CAMVID
from netwarp.report.pictures import colours_of, enlarged, in_a_row, png_uri
from netwarp.report.story import Story
from netwarp.report.thin_places import Choice, Place, choose_places
from netwarp.report.verdict import BASE, NETWARP

__all__ = ["THIN", "thin_section"]

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
    return (
        f"The windows were chosen by counting. The test video was cut into overlapping windows of {window[1]} × "
        f"{window[0]} pixels and {FRAMES} frames, and in each the pixels were counted that NetWarp has right and frame "
        f"by frame has wrong, less the reverse, among those that are {_listed(THIN)} or are taken for one. Of {count} "
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


def _listed(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
