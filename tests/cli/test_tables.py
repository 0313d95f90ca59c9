"""Tables and JSON of scores: no column for what was not measured, null where a metric does not apply."""

from __future__ import annotations

import json
import math

from netwarp.cli.tables import class_table, score_record, score_table
from netwarp.evaluation.scores import Scores

NAN = math.nan
CLASSES = ("road", "car")
ALONE: Scores = {
    "miou": 60.1234, "per_class": (90.0, NAN), "tiou": {1: 30.0, 2: 40.0}, "iiou": NAN, "iiou_per_class": (NAN, NAN),
    "tc": NAN, "vc": {8: NAN}, "frames": 10, "ms_per_frame": 12.34,
}  # fmt: skip
OBJECTS: Scores = {
    "miou": 61.0, "per_class": (91.0, 31.25), "tiou": {1: 31.0, 2: NAN}, "iiou": 20.5, "iiou_per_class": (NAN, 20.5),
    "tc": 95.5, "vc": {8: NAN}, "frames": 10, "ms_per_frame": 15.0,
}  # fmt: skip


def test_only_metrics_that_apply_have_a_column():
    assert score_table({"a": ALONE}).splitlines()[0].split() == "IoU tIoU 1 px tIoU 2 px ms a frame".split()  # noqa: SIM905
    lines = score_table({"a": ALONE, "with more": OBJECTS}).splitlines()
    assert len({len(line) for line in lines}) == 1
    head = "IoU tIoU 1 px tIoU 2 px iIoU consistency ms a frame"
    assert lines[0].split() == head.split()
    assert lines[2].split() == ["a", "60.12", "30.00", "40.00", "–", "–", "12.3"]
    assert lines[3].split() == ["with", "more", "61.00", "31.00", "–", "20.50", "95.50", "15.0"]


def test_a_line_for_each_class():
    assert class_table({"a": ALONE}, CLASSES).splitlines()[2:] == ["road   90.00", "car        –"]
    lines = class_table({"a": ALONE, "b": OBJECTS}, CLASSES).splitlines()
    assert [part.strip() for part in lines[0].split("  ") if part.strip()] == [
        "class", "IoU, a", "IoU, b", "iIoU, a", "iIoU, b",
    ]  # fmt: skip
    assert lines[3].split() == ["car", "–", "31.25", "–", "20.50"]


def test_json_keeps_its_keys():
    record = json.loads(json.dumps(score_record(OBJECTS, CLASSES), allow_nan=False))
    assert record == {
        "miou": 61.0,
        "per_class": {"road": 91.0, "car": 31.25},
        "tiou": {"1": 31.0, "2": None},
        "iiou": 20.5,
        "iiou_per_class": {"road": None, "car": 20.5},
        "tc": 95.5,
        "vc": {"8": None},
        "frames": 10,
        "ms_per_frame": 15.0,
    }
