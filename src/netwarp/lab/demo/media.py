"""The demo's videos: four panels in step, the plain street, and a small moving picture for a README."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image

from netwarp.errors import OutputError
from netwarp.lab.demo.story import Story
from netwarp.lab.demo.summary import BASE, NETWARP
from netwarp.label_sets import CAMVID
from netwarp.video.overlay import overlay, side_by_side
from netwarp.video.writer import VideoWriter

Picture = npt.NDArray[np.uint8]


def enlarged(picture: npt.NDArray[np.generic], times: int) -> Picture:
    """Every pixel ``times`` as wide and high, as a square: nothing is invented between pixels."""
    return np.asarray(picture.repeat(times, axis=0).repeat(times, axis=1), np.uint8)


def in_a_row(pictures: Sequence[Picture], gap: int = 4) -> Picture:
    """Pictures of one height beside each other, RGBA with clear gaps between."""
    parts: list[Picture] = []
    for picture in pictures:
        opaque = np.full((*picture.shape[:2], 1), 255, np.uint8)
        clear = np.zeros((picture.shape[0], gap, 4), np.uint8)
        parts += [clear, np.concatenate([picture, opaque], axis=2)]
    return np.concatenate(parts[1:], axis=1)


def png_uri(picture: Picture) -> str:
    """A picture, RGB or RGBA, as a ``data:`` address that holds it."""
    code = cv2.COLOR_RGBA2BGRA if picture.shape[2] == 4 else cv2.COLOR_RGB2BGR
    ok, data = cv2.imencode(".png", cv2.cvtColor(picture, code), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if not ok:
        raise OutputError(f"a picture of {picture.shape[1]}×{picture.shape[0]} cannot be stored as PNG")
    return "data:image/png;base64," + base64.b64encode(data.tobytes()).decode("ascii")


TIMES = 2
"""How much larger than the test video a panel is, so that outlines are drawn finely."""

GAP = 4
QUALITY = 27
MOVING_WIDTH, MOVING_BYTES = 800, 1_000_000


def panels(image: Picture, truth: Picture, base: Picture, warped: Picture) -> Picture:
    """Camera and truth above, frame by frame and NetWarp below."""
    size = (image.shape[1] * TIMES, image.shape[0] * TIMES)
    large: Picture = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    coloured = [overlay(large, enlarged(labels, TIMES), CAMVID.palette, alpha=0.65) for labels in (truth, base, warped)]
    above = side_by_side(large, coloured[0], ("camera", "truth"))
    below = side_by_side(coloured[1], coloured[2], ("frame by frame", "NetWarp"))
    gap = np.full((GAP, above.shape[1], 3), 255, np.uint8)
    return np.concatenate([above, gap, below])


def write_panels(story: Story, path: Path) -> tuple[int, int]:
    """Write all test clips, one after the other, as :func:`panels`."""
    shape: tuple[int, ...] = ()
    with VideoWriter(path, fps=story.settings.fps, quality=QUALITY) as video:
        for picture in _all_panels(story):
            shape = picture.shape
            video.write(picture)
    return shape[1], shape[0]


def _all_panels(story: Story, clips: int | None = None) -> Iterator[Picture]:
    """Of the first so many test clips, or of all."""
    labels = story.labels[BASE][:clips], story.labels[NETWARP][:clips]
    for clip, base, warped in zip(story.test[:clips], *labels, strict=True):
        for frame, one, other in zip(clip, base, warped, strict=True):
            yield panels(frame.image, frame.labels, one, other)


def write_moving_picture(story: Story, path: Path) -> None:
    """Write two test clips as an animated WebP under 1 MB: frame by frame on the left, NetWarp on the right."""
    pictures = []
    for picture in _all_panels(story, clips=2):
        pair = picture[-story.settings.size[0] * TIMES :]
        width = min(MOVING_WIDTH, pair.shape[1])
        size = width, round(pair.shape[0] * width / pair.shape[1])
        pictures.append(PIL.Image.fromarray(cv2.resize(pair, size, interpolation=cv2.INTER_AREA)))
    milliseconds = round(1000 / story.settings.fps)
    for quality in (60, 45, 30, 15):
        pictures[0].save(
            path, save_all=True, append_images=pictures[1:], duration=milliseconds, loop=0, quality=quality, method=4
        )
        if path.stat().st_size < MOVING_BYTES:
            break


def write_street(story: Story, path: Path) -> None:
    """Write all test clips, one after the other, as the camera saw them."""
    with VideoWriter(path, fps=story.settings.fps) as video:
        for clip in story.test:
            for frame in clip:
                video.write(frame.image)
