"""The table: what it says on the terminal, in Markdown and in JSON."""

import json
import math

from netwarp.lab.demo.summary import as_json, markdown, terminal

CLASSES = ("road", "pole")
ROWS = {
    name: {"miou": miou, "per_class": per_class, "tiou": {2: tiou}, "tc": tc, "frames": 10, "ms_per_frame": ms}
    for name, miou, per_class, tiou, tc, ms in (
        ("Frame by frame", 60.123, (90.0, math.nan), 40.0, 95.5, 12.34),
        ("NetWarp", 61.0, (91.0, 31.25), 41.456, math.nan, 15.0),
    )
}


def test_the_terminal_shows_columns() -> None:
    lines = terminal(ROWS).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split() == ["IoU", "IoU", "at", "edges", "(2", "px)", "consistency", "ms", "a", "frame"]
    assert lines[2].split() == ["Frame", "by", "frame", "60.12", "40.00", "95.50", "12.3"]
    assert lines[3].split() == ["NetWarp", "61.00", "41.46", "–", "15.0"]


def test_markdown_holds_both_tables() -> None:
    text = markdown(ROWS, CLASSES)
    assert "| NetWarp | 61.00 | 41.46 | – | 15.0 |" in text
    assert "| Frame by frame | 90.0 | – |" in text
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert [len({line.count("|") for line in table}) for table in tables] == [1, 1]


def test_json_has_null_where_a_measure_does_not_apply() -> None:
    rows = json.loads(json.dumps(as_json(ROWS, CLASSES), allow_nan=False))
    assert rows["Frame by frame"]["per_class"] == {"road": 90.0, "pole": None}
    assert rows["NetWarp"] == {
        "miou": 61.0,
        "per_class": {"road": 91.0, "pole": 31.25},
        "tiou": {"2": 41.456},
        "tc": None,
        "frames": 10,
        "ms_per_frame": 15.0,
    }
