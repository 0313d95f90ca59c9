"""The demo's videos: four panels in step, and the plain street."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from netwarp.data.overlay import overlay, side_by_side
from netwarp.data.video_writer import VideoWriter
from netwarp.model.label_set import CAMVID
from netwarp.report.pictures import enlarged
from netwarp.report.story import Story
from netwarp.report.verdict import BASE, NETWARP

__all__ = ["panels", "write_panels", "write_street"]

TIMES = 2
"""How much larger than the test video a panel is, so that outlines are drawn finely."""

GAP = 4
QUALITY = 27

Picture = npt.NDArray[np.uint8]


def panels(image: Picture, truth: Picture, base: Picture, warped: Picture) -> Picture:
    """Camera and truth above, frame by frame and NetWarp below.

    Args:
        image: RGB ``[H,W,3]``.
        truth: Labels ``[H,W]``.
        base: Labels frame by frame.
        warped: Labels with NetWarp.

    Returns:
        RGB, of 2 × 2 panels with a gap.
    """
    size = (image.shape[1] * TIMES, image.shape[0] * TIMES)
    large: Picture = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    coloured = [overlay(large, enlarged(labels, TIMES), CAMVID.palette, alpha=0.65) for labels in (truth, base, warped)]
    above = side_by_side(large, coloured[0], ("camera", "truth"))
    below = side_by_side(coloured[1], coloured[2], ("frame by frame", "NetWarp"))
    gap = np.full((GAP, above.shape[1], 3), 255, np.uint8)
    return np.concatenate([above, gap, below])


def write_panels(story: Story, path: Path) -> tuple[int, int]:
    """Write all test clips, one after the other, as :func:`panels`.

    Returns:
        (width, height) of the video.
    """
    shape: tuple[int, ...] = ()
    with VideoWriter(path, fps=story.settings.fps, quality=QUALITY) as video:
        for clip, base, warped in zip(story.test, story.labels[BASE], story.labels[NETWARP], strict=True):
            for frame, one, other in zip(clip, base, warped, strict=True):
                picture = panels(frame.image, frame.labels, one, other)
                shape = picture.shape
                video.write(picture)
    return shape[1], shape[0]


def write_street(story: Story, path: Path) -> None:
    """Write all test clips, one after the other, as the camera saw them."""
    with VideoWriter(path, fps=story.settings.fps) as video:
        for clip in story.test:
            for frame in clip:
                video.write(frame.image)
