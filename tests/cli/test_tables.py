"""Tables and JSON of scores: no column for what was not measured, null where a metric does not apply."""

import json
import math

from netwarp.cli.tables import class_table, score_record, score_table
from netwarp.evaluation.scores import Scores

NAN = math.nan
CLASSES = ("road", "car")
ALONE: Scores = {
    "miou": 60.1234, "per_class": (90.0, NAN), "tiou": {1: 30.0, 2: 40.0}, "iiou": NAN, "iiou_per_class": (NAN, NAN),
    "tiou_per_class": {1: (30.0, NAN), 2: (40.0, NAN)},
    "tc": NAN, "vc": {8: NAN}, "frames": 10, "network_share": 100.0, "ms_per_frame": 12.34,
}  # fmt: skip
OBJECTS: Scores = {
    "miou": 61.0, "per_class": (91.0, 31.25), "tiou": {1: 31.0, 2: NAN}, "iiou": 20.5, "iiou_per_class": (NAN, 20.5),
    "tiou_per_class": {1: (31.0, NAN), 2: (NAN, NAN)},
    "tc": 95.5, "vc": {8: NAN}, "frames": 10, "network_share": 100.0, "ms_per_frame": 15.0,
}  # fmt: skip


def test_only_metrics_that_apply_have_a_column():
    assert score_table({"a": ALONE}).splitlines()[0].split() == "IoU tIoU 1 px tIoU 2 px ms a frame".split()  # noqa: SIM905
    lines = score_table({"a": ALONE, "with more": OBJECTS}).splitlines()
    assert len({len(line) for line in lines}) == 1
    head = "IoU tIoU 1 px tIoU 2 px iIoU consistency ms a frame"
    assert lines[0].split() == head.split()
    assert lines[2].split() == ["a", "60.12", "30.00", "40.00", "–", "–", "12.3"]
    assert lines[3].split() == ["with", "more", "61.00", "31.00", "–", "20.50", "95.50", "15.0"]
    lines = score_table({"a": ALONE, "b": ALONE | {"network_share": 25.0}}).splitlines()
    assert lines[0].split()[-6:] == "network on % ms a frame".split()  # noqa: SIM905
    assert [line.split()[-2] for line in lines[2:]] == ["100.0", "25.0"]


def test_a_line_for_each_class():
    lines = class_table({"a": ALONE}, CLASSES).splitlines()
    assert lines[0].split() == "class IoU tIoU 1 px tIoU 2 px".split()  # noqa: SIM905
    assert [line.split() for line in lines[2:]] == [["road", "90.00", "30.00", "40.00"], ["car", "–", "–", "–"]]
    tables = [table.splitlines() for table in class_table({"a": ALONE, "b": OBJECTS}, CLASSES).split("\n\n")]
    heads = [["IoU"], ["tIoU", "1", "px"], ["tIoU", "2", "px"], ["iIoU"]]
    assert [lines[0].split() for lines in tables] == [[*head, "a", "b"] for head in heads]
    assert [lines[3].split() for lines in tables] == [
        ["car", "–", "31.25"], ["car", "–", "–"], ["car", "–", "–"], ["car", "–", "20.50"],
    ]  # fmt: skip


def test_json_keeps_its_keys():
    record = json.loads(json.dumps(score_record(OBJECTS, CLASSES), allow_nan=False))
    assert record == {
        "miou": 61.0,
        "per_class": {"road": 91.0, "car": 31.25},
        "tiou": {"1": 31.0, "2": None},
        "tiou_per_class": {"1": {"road": 31.0, "car": None}, "2": {"road": None, "car": None}},
        "iiou": 20.5,
        "iiou_per_class": {"road": None, "car": 20.5},
        "tc": 95.5,
        "vc": {"8": None},
        "frames": 10,
        "network_share": 100.0,
        "ms_per_frame": 15.0,
    }
