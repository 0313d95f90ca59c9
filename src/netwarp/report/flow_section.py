"""The page's part on flow: before and after the FlowCNN, beside the exact one (after the paper's figure 5)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from netwarp.report.flow_colours import flow_colours, flow_wheel
from netwarp.report.pictures import png_uri
from netwarp.report.story import Story
from netwarp.report.transformed_flow import Flow, before_and_after, length_of, round_limit
from netwarp.report.verdict import NETWARP

__all__ = ["flow_section"]


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
