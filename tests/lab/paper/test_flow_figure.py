"""Figure 5 from a model whose FlowCNN does what is known."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

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
    assert [frame.name for frame in shown] == ["a/1", "b/2"]
    assert [frame.motion for frame in shown] == [5.0, 4.0]
    assert [frame.change for frame in shown] == pytest.approx([3.0, 3.0], abs=1e-3)
    # True flow is (1, 1): (5, 0) is √17 away, (8, 0) √50.
    assert shown[0].error(shown[0].before) == pytest.approx(17**0.5)
    assert shown[0].error(shown[0].after) == pytest.approx(50**0.5, abs=1e-3)


def test_markdown_and_csv_hold_the_same_numbers(model: VideoModel):
    table = flows_table(flows_shown(model, ClipData("made", CAMVID, (clip("a", (1, 5)), clip("b", (1, 9))))))
    lines = markdown_flows(table).splitlines()
    assert lines[2] == "| a/1 | 5.00 | 3.00 | 4.12 | 7.07 |"
    assert lines[4].startswith("| mean | 7.00 | 3.00 |")
    row = next(csv.DictReader(io.StringIO(table.to_csv(index=False))))
    assert float(row["change_px"]) == pytest.approx(3.0, abs=1e-3)


def test_flow_without_truth_has_no_error(model: VideoModel):
    table = flows_table(flows_shown(model, ClipData("made", CAMVID, (clip("a", (1, 5), true=False),))))
    assert markdown_flows(table).splitlines()[2] == "| a/1 | 5.00 | 3.00 | – | – |"
    assert table["error_before_px"].isna().all()


def test_it_is_a_picture(model: VideoModel, tmp_path: Path):
    draw_flows(flows_shown(model, ClipData("made", CAMVID, (clip("a", (1, 5)),))), "a title", tmp_path / "fig5.png")
    assert np.asarray(Image.open(tmp_path / "fig5.png").convert("RGB")).std() > 10
