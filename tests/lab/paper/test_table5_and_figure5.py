"""Table 5 from known scores, thin classes marked, and Figure 5 from a model whose FlowCNN does what is known."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from lab.paper.pictures import is_a_picture
from netwarp import FlowCNN, VideoModel, load_base
from netwarp.datasets.clips import Clip, ClipData, ClipFrame
from netwarp.lab.paper.class_table import better_classes, classes_table, draw_classes, markdown_classes
from netwarp.lab.paper.figures import draw_flows, flows_shown, flows_table, markdown_flows
from netwarp.lab.paper.published import TABLE5
from netwarp.lab.study.store import UnitScores
from netwarp.label_sets import CAMVID


def scores(seed: int, sky: float, pole: float, car: float, objects: float = math.nan) -> UnitScores:
    per_class = {"sky": sky, "pole": pole, "car": car, "gnome": math.nan}
    near = {} if math.isnan(objects) else {"sky": sky / 2, "pole": pole, "car": car / 2}
    return UnitScores(
        "row", 0, seed, (sky + pole + car) / 3, per_class, {2: 33.0}, 97.0, 3, (1.0, 1.0), 1, {}, {}, objects,
        {"car": objects}, near,
    )  # fmt: skip


BASE = [scores(0, 90.0, 10.0, 60.0, 40.0)]
TABLE = classes_table(BASE, [scores(0, 91.0, 14.0, 58.0, 42.0), scores(1, 92.0, 16.0, 58.0, 44.0)])
OF = TABLE.set_index("class")


def test_a_line_for_the_mean_and_for_each_class():
    assert list(TABLE["class"]) == ["mean", "thin classes", "other classes", "sky", "pole", "car", "gnome"]
    assert tuple(OF.loc["pole", ["thin", "iou_base", "iou_netwarp"]]) == (1, 10.0, 15.0)
    assert tuple(OF.loc[["mean", "car"], "iiou_netwarp"]) == (43.0, 43.0)
    assert tuple(OF.loc["pole", ["paper_iou_base", "paper_iou_netwarp", "paper_iou_ResNet-38"]]) == (64.5, 68.6, 67.6)
    assert tuple(OF.loc["mean", ["paper_iou_base", "paper_iou_netwarp"]]) == (80.2, 80.5)
    assert OF.loc["gnome", ["iou_base", "paper_iou_base", "paper_iou_ResNet-38"]].isna().all()


def test_thin_classes_have_a_mean_of_their_own():
    gains = OF["iou_netwarp"] - OF["iou_base"]
    assert tuple(gains[["thin classes", "other classes"]]) == (5.0, -0.25)
    thin = OF.loc["thin classes"]
    assert thin["paper_iou_netwarp"] - thin["paper_iou_base"] == pytest.approx(1.9, abs=0.05)
    assert thin["thin"] == 0  # it is no class


def test_markdown_has_what_is_known_and_the_papers_own_table():
    text = markdown_classes(TABLE)
    assert (
        "| **pole** (thin) | 10.00 | 15.00 | +5.00 | 10.00 | 15.00 | +5.00 | – | – | – | 64.5 | 68.6 | +4.1 |" in text
    )
    published = {line.split("|")[1].strip(): line for line in text.split("\n\n")[1].splitlines()}
    assert set(TABLE5) <= set(published)
    assert published["TuSimple"].startswith("| TuSimple | 56.9 | 80.1 | 98.6 | 85.9 |")
    alone = markdown_classes(classes_table([scores(0, 1.0, 2.0, 3.0)], [scores(0, 1.0, 2.0, 3.0)])).splitlines()[0]
    assert "iIoU: NetWarp" in text
    assert "tIoU: NetWarp" in text
    assert "iIoU" not in alone
    assert "tIoU" not in alone  # kept work does not know it by class


def test_classes_in_which_netwarp_is_above_are_counted():
    assert [line.split(";")[0] for line in better_classes(TABLE)] == [
        "IoU: above frame by frame in 2 of 3 classes",
        "tIoU: above frame by frame in 2 of 3 classes",
        "iIoU: above frame by frame in 1 of 1 classes",
    ]
    assert "17 of 19" in better_classes(TABLE)[1]


@pytest.mark.parametrize("lines", [7, 1])
def test_it_is_a_picture(tmp_path: Path, lines: int):
    draw_classes(TABLE[:lines], "a title", tmp_path / "table5.png")
    assert is_a_picture(tmp_path / "table5.png")


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
