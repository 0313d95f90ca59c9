"""Table 5 from known scores: classes of CamVid beside those of Cityscapes, thin ones marked."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from lab.paper.pictures import is_a_picture
from netwarp.lab.paper.class_table import better_classes, classes_table, draw_classes, markdown_classes
from netwarp.lab.paper.published import TABLE5
from netwarp.lab.study.store import UnitScores


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
