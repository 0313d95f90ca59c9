"""From units to numbers, Markdown and CSV."""

import math
import statistics
from dataclasses import replace

import pytest

from netwarp.lab.paper.lines import Line
from netwarp.lab.paper.published import Published
from netwarp.lab.paper.tables import markdown_text, seed_error, table_of
from netwarp.lab.study.rows import BASE, Row
from netwarp.lab.study.store import UnitScores

LINES = [
    Line("network", "base", Row(BASE), Published(60.0, 30.0)),
    Line("control", "control", Row("Control", ("x",), control=True), base=BASE),
    Line("good", "netwarp", Row("Good", ("x",)), Published(61.0, 32.0, runtime="5 ms"), BASE),
    Line("bad", "netwarp", Row("Bad", ("y",)), base=BASE),
    Line("other", "other", None, Published(60.5)),
]


def scores(row: str, seed: int, iou: float) -> UnitScores:
    tiou = dict.fromkeys(range(1, 21), iou / 2)
    return UnitScores(row, 0, seed, iou, {}, tiou, 97.0, 3, (1.0, 1.0), 1, {}, {})


MEASURED = {"Control": (50.5, 51.5), "Good": (53.0, 54.0), "Bad": (46.0, 48.0)}
ALL = [scores(BASE, 0, 50.0), *(scores(row, s, v) for row, pair in MEASURED.items() for s, v in enumerate(pair))]
TABLE = table_of(LINES, ALL, {BASE: 10.0, "Good": 12.0}).set_index("line")
SEEDS = math.sqrt(statistics.fmean(statistics.variance(pair) for pair in MEASURED.values()) / 2)
"""The standard error over seeds, pooled over lines."""


def test_differences_are_taken_to_the_base_and_seed_by_seed_to_the_control():
    good = TABLE.loc["good"]
    assert tuple(good[["iou", "seeds", "iou_minus_base", "tiou_minus_base"]]) == (53.5, 2, 3.5, 1.75)
    assert tuple(good[["iou_minus_control", "iou_minus_control_sd"]]) == pytest.approx((2.5, 0.0))
    assert good["times_base"] == pytest.approx(1.2)
    assert TABLE["iou_minus_control"]["bad"] == -4.0
    assert TABLE.loc[["network", "other"], "iou_minus_base"].isna().all()
    assert TABLE.loc[["network", "control", "other"], "iou_minus_control"].isna().all()
    assert TABLE.loc[["bad", "other"], "ms_per_frame"].isna().all()


def test_the_error_over_seeds_is_pooled_over_lines():
    pairs = [[f for f in ALL if f.row == row] for row in MEASURED]
    assert seed_error(pairs) == pytest.approx(SEEDS)
    assert math.isnan(seed_error([pair[:1] for pair in pairs]))


def test_noise_is_of_seeds_and_of_clips():
    """Without clip a the difference is 5, without b it is 1: half of what lies between is the jackknife's error."""
    assert TABLE["noise"]["good"] == pytest.approx(2 * SEEDS)  # nobody knows about clips
    clips = [
        replace(f, left_out={"a": f.miou + 1.5 * (f.row == "Good"), "b": f.miou - 2.5 * (f.row == "Good")}) for f in ALL
    ]
    good = table_of(LINES, clips).set_index("line").loc["good"]
    assert good["noise"] == pytest.approx(2 * math.hypot(SEEDS, 2.0))
    assert good["control_noise"] == pytest.approx(2 * math.hypot(math.sqrt(2) * SEEDS, 2.0))
    untrained = [replace(line, row=Row("Good", crf=1)) if line.name == "good" else line for line in LINES]
    good = table_of(untrained, clips).set_index("line").loc["good"]
    assert (good["noise"], good["control_noise"]) == pytest.approx((4.0, 2 * math.hypot(SEEDS, 2.0)))
    one_seed = table_of(LINES, [f for f in clips if f.seed == 0]).set_index("line")
    assert one_seed["noise"]["good"] == pytest.approx(4.0)
    assert TABLE.loc[["network", "other"], "noise"].isna().all()


def test_markdown_has_the_papers_numbers_beside_ours_and_no_empty_columns():
    head, rule, *rows = markdown_text(TABLE.reset_index()).splitlines()
    names = [cell.strip() for cell in head.strip("|").split("|")]
    cells = {row.split("|")[1].strip(): [c.strip() for c in row.strip("|").split("|")] for row in rows}
    good, other = (dict(zip(names, cells[name], strict=True)) for name in ("good", "other"))
    assert (good["IoU"], good["IoU − base"], good["IoU − control"]) == ("53.50 ± 0.71", "+3.50", "+2.50")
    assert good["ms a frame"] == "12.0 (1.200 ×)"
    assert (good["paper: IoU"], good["paper: runtime"], good["paper: IoU − base"]) == ("61.0", "5 ms", "+1.0")
    assert "iIoU" not in names
    assert (other["paper: IoU"], other["IoU"]) == ("60.5", "")
    assert rule.count("---") == len(names)
