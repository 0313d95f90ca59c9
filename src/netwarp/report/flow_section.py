"""The page's part on flow: before and after the FlowCNN, beside the exact one (after the paper's figure 5)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from netwarp.data.streets import StreetFrame
from netwarp.model import VideoModel
from netwarp.ops import resize_flow
from netwarp.report.flow_colours import flow_colours, flow_wheel
from netwarp.report.pictures import png_uri
from netwarp.report.story import Story
from netwarp.report.verdict import NETWARP

__all__ = ["flow_section"]

Flow = npt.NDArray[np.float32]


def flow_section(story: Story) -> dict[str, Any]:
    """Pictures and text.

    The frame shown is that of the first test clip with the most motion by its exact flow; the errors are means over
    that whole clip.
    """
    clip, model = story.test[0], story.models[NETWARP]
    errors = np.zeros(2)
    pixels = 0
    shown = max(range(1, len(clip)), key=lambda t: float(_length(clip[t].flow).mean()))
    kept: tuple[Flow, Flow] | None = None
    for t in range(1, len(clip)):
        before, after = _flows(model, clip[t], clip[t - 1])
        exact, visible = clip[t].flow, clip[t].visible
        errors += [_length(flow - exact)[visible].sum() for flow in (before, after)]
        pixels += int(visible.sum())
        if t == shown:
            kept = before, after
    assert kept is not None  # a clip has two frames at least
    before, after = kept
    exact = clip[shown].flow
    change = after - before
    limit = _round_up(float(np.percentile(_length(exact), 93)))
    difference_limit = _round_up(float(np.percentile(_length(change), 99)))
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
        "text": _text(float(mean[0]), float(mean[1]), float(_length(change).mean())),
    }


def _flows(model: VideoModel, current: StreetFrame, previous: StreetFrame) -> tuple[Flow, Flow]:
    """Flow before and after the FlowCNN, both ``[2,H,W]`` in pixels of the frame."""
    assert model.flow_cnn is not None
    present, past = (torch.from_numpy(frame.image).permute(2, 0, 1)[None].contiguous() for frame in (current, previous))
    with torch.no_grad():
        before = model.estimate_flow(present, past)
        after = model.flow_cnn(before, present / 255, past / 255)
        after = resize_flow(after, (before.shape[-2], before.shape[-1]))
    return before[0].numpy(), after[0].numpy()


def _text(before: float, after: float, change: float) -> str:
    """What was learnt, in words that follow from the errors."""
    how = (
        "The FlowCNN learns from the segmentation loss alone; nothing tells it what the true flow is. In the frame "
        f"shown it changes the flow by {change:.2f} pixels on average. Over the whole first test clip, where the "
        f"previous frame shows the same point, the mean distance from the exact flow is {before:.2f} pixels before "
        f"and {after:.2f} after: "
    )
    if after < before - 0.02:
        return how + "it came nearer to the truth by itself."
    if after > before + 0.02:
        return how + "what serves the labels need not be the true flow, which the paper (section 4.2) suspected too."
    return how + "next to no difference."


def _picture(picture: npt.NDArray[np.uint8], caption: str, alt: str) -> dict[str, Any]:
    return {
        "uri": png_uri(picture), "width": picture.shape[1], "height": picture.shape[0], "caption": caption, "alt": alt,
    }  # fmt: skip


def _length(flow: Flow) -> Flow:
    return np.asarray(np.hypot(flow[0], flow[1]), np.float32)


def _round_up(value: float) -> float:
    """The next number of one digit, or 1.5 or 2.5, times a power of ten.

    >>> _round_up(3.2), _round_up(0.41), _round_up(12.0)
    (4.0, 0.5, 15.0)
    """
    power = 10.0 ** math.floor(math.log10(max(value, 0.01)))
    steps = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9, 10)
    return next(round(step * power, 3) for step in steps if step * power >= value - 1e-9)
