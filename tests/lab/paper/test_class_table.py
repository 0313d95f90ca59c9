"""Table 5 from known figures: classes of CamVid beside those of Cityscapes, thin ones marked."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from netwarp.lab.paper.class_table import class_lines, classes_table, draw_classes, markdown_classes
from netwarp.lab.study.store import UnitScores


def figures(seed: int, sky: float, pole: float, car: float, objects: float = math.nan) -> UnitScores:
    per_class = {"sky": sky, "pole": pole, "car": car, "gnome": math.nan}
    return UnitScores(
        "row", 0, seed, (sky + pole + car) / 3, per_class, {}, 97.0, 3, (1.0, 1.0), 1, {}, {}, objects, {"car": objects}
    )


BASE = [figures(0, 90.0, 10.0, 60.0, 40.0)]
LINES = class_lines(BASE, [figures(0, 91.0, 14.0, 58.0, 42.0), figures(1, 92.0, 16.0, 58.0, 44.0)])
BY_NAME = {line.name: line for line in LINES}


def test_a_line_for_the_mean_and_for_each_class():
    assert [line.name for line in LINES] == ["mean", "thin classes", "other classes", "sky", "pole", "car", "gnome"]
    assert (BY_NAME["pole"].base, BY_NAME["pole"].netwarp) == (10.0, 15.0)
    assert (BY_NAME["mean"].base_objects, BY_NAME["car"].netwarp_objects) == (40.0, 43.0)
    assert [line.name for line in LINES if line.thin] == ["pole"]
    assert BY_NAME["pole"].paper == (64.5, 68.6)
    assert BY_NAME["gnome"].paper is None


def test_thin_classes_have_a_mean_of_their_own():
    thin, others = BY_NAME["thin classes"], BY_NAME["other classes"]
    assert thin.netwarp - thin.base == 5.0
    assert others.netwarp - others.base == -0.25
    assert thin.paper[1] - thin.paper[0] == pytest.approx(1.9, abs=0.05)


def test_markdown_and_csv_agree():
    table = markdown_classes(LINES).splitlines()
    assert "| **pole** (thin) | 10.00 | 15.00 | +5.00 | – | – | – | 64.5 | 68.6 | +4.1 |" in table
    rows = {row["class"]: row for row in csv.DictReader(io.StringIO(classes_table(LINES).to_csv(index=False)))}
    assert (rows["pole"]["thin"], rows["pole"]["iou_netwarp"], rows["pole"]["paper_iou_base"]) == ("1", "15.0", "64.5")
    assert rows["sky"]["paper_iou_ResNet-38"] == "95.5"
    assert rows["gnome"]["iou_base"] == rows["gnome"]["paper_iou_ResNet-38"] == ""


def test_without_objects_there_are_no_columns_for_them():
    table = markdown_classes(class_lines([figures(0, 1.0, 2.0, 3.0)], [figures(0, 1.0, 2.0, 3.0)])).splitlines()
    assert "iIoU" not in table[0]


@pytest.mark.parametrize("lines", [LINES, LINES[:1]])
def test_it_is_a_picture(tmp_path: Path, lines):
    draw_classes(lines, "a title", tmp_path / "table5.png")
    assert np.asarray(Image.open(tmp_path / "table5.png").convert("RGB")).std() > 10
