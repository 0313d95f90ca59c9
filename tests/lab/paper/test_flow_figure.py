"""Figure 5 from a model whose FlowCNN does what is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lab.paper.pictures import is_a_picture
from netwarp import FlowCNN, VideoModel, load_base
from netwarp.datasets.clips import Clip, ClipData, ClipFrame
from netwarp.lab.paper.figures import draw_flows, flows_shown, flows_table, markdown_flows
from netwarp.label_sets import CAMVID


class Constant:
    """A flow of (length of the frame's first pixel, 0)."""

    spec = "constant"

    def __call__(self, current, previous, index=None):
        flow = torch.zeros(1, 2, *current.shape[-2:])
        flow[:, 0] = float(current[0, 0, 0, 0])
        return flow


def clip(name: str, values: tuple[int, ...], true: bool = True) -> Clip:
    def frame(index: int, value: int) -> ClipFrame:
        flow = np.full((2, 24, 32), 1.0, np.float32)
        return ClipFrame(
            f"{name}/{index}",
            lambda: np.full((24, 32, 3), value, np.uint8),
            flow=(lambda: flow) if index and true else None,
        )

    return Clip(name, tuple(frame(i, value) for i, value in enumerate(values)))


@pytest.fixture
def model() -> VideoModel:
    """Its FlowCNN adds (3, 0)."""
    cnn = FlowCNN(start="gaussian")
    with torch.no_grad():
        for parameter in cnn.parameters():
            parameter.zero_()
        cnn.conv4.weight[0, 0, 1, 1] = cnn.conv4.weight[1, 1, 1, 1] = 1.0
        cnn.conv4.bias.copy_(torch.tensor([3.0, 0.0]))
    return VideoModel(load_base("netwarp:streetnet"), ["at_eighth"], Constant(), cnn)


def test_the_frame_with_the_most_motion_of_each_clip(model: VideoModel):
    shown = flows_shown(model, ClipData("made", CAMVID, (clip("a", (1, 5, 2)), clip("b", (9, 1, 4)), clip("c", (7,)))))
    table = flows_table(shown)
    assert list(table["frame"]) == ["a/1", "b/2"]
    assert list(table["motion_px"]) == [5.0, 4.0]
    assert list(table["change_px"]) == pytest.approx([3.0, 3.0], abs=1e-3)
    # True flow is (1, 1): (5, 0) is √17 away, (8, 0) √50.
    assert tuple(table.iloc[0, 3:]) == pytest.approx((17**0.5, 50**0.5), abs=1e-3)
    lines = markdown_flows(table).splitlines()
    assert lines[2] == "| a/1 | 5.00 | 3.00 | 4.12 | 7.07 |"
    assert lines[4].startswith("| mean | 4.50 | 3.00 |")


def test_flow_without_truth_has_no_error(model: VideoModel, tmp_path: Path):
    shown = flows_shown(model, ClipData("made", CAMVID, (clip("a", (1, 5), true=False),)))
    assert markdown_flows(flows_table(shown)).splitlines()[2] == "| a/1 | 5.00 | 3.00 | – | – |"
    draw_flows(shown, "a title", tmp_path / "fig5.png")
    assert is_a_picture(tmp_path / "fig5.png")
