"""The tables: every figure at its place, every line as long as its head."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.benchmark.made_rows import ROWS, WARP, measured
from netwarp.lab.benchmark.run import PARTS
from netwarp.lab.benchmark.tables import TITLES, part_text


def cells(text: str) -> list[list[list[str]]]:
    """Tables, as lines of cells; the rule under the head left out."""
    tables: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            if not line.startswith("|---"):
                tables[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        elif tables[-1]:
            tables.append([])
    return [table for table in tables if table]


def column(table: list[list[str]], head: str) -> list[str]:
    return [line[table[0].index(head)] for line in table[1:]]


def test_every_part_has_a_title_and_rows():
    assert list(TITLES) == list(PARTS) == list(ROWS)


@pytest.mark.parametrize("part", ROWS)
def test_lines_are_as_long_as_their_head(part: str):
    text = part_text(part, ROWS[part]())
    assert text.startswith(f"## {TITLES[part]}\n\n|")
    for table in cells(text):
        assert {len(line) for line in table} == {len(table[0])}
        assert len(table) > 2
    assert "None" not in text


def test_times_and_ratios_of_the_warp():
    row = replace(
        WARP, add_ms=0.04512, eager_ms=1640.4, ours_ms=5.678, compiled_ms=None, compiled_over_ours=None,
        compiled_trained_ms=None, compiled_over_add=None, compiled_over_ours_trained=None,
        not_compiled="there is no C++ compiler", shift_off=0.0,
    )  # fmt: skip
    text = part_text("warp", [row])
    times, ratios = cells(text)
    assert times[1][0] == ratios[1][0] == "1×1024×128×128, channels-last, float32"
    assert column(times, "add") == ["0.045"]
    assert column(times, "ours") == ["5.68"]
    assert column(times, "eager") == ["1640"]
    assert column(times, "compile") == column(ratios, "compile/ours") == ["–"]
    assert column(ratios, "ours/add") == ["1.10"]
    assert column(ratios, "eager/ours with backward") == ["8.2"]
    assert column(ratios, "of clone's bandwidth") == ["102 %"]
    assert column(ratios, "shift off") == ["0"]
    assert "Without `torch.compile`: there is no C++ compiler." in text
    assert "Without" not in part_text("warp", [WARP])


def test_only_what_was_written_has_a_column():
    rows = ROWS["stream"]()
    (table,) = cells(part_text("stream", rows))
    assert column(table, "× frame by frame")[:2] == ["1.000", "1.070"]
    assert column(table, "ms, video written")[-1] == "–"
    (table,) = cells(part_text("stream", [row for row in rows if row.rendered_ms is None]))
    assert "ms, video written" not in table[0]


def test_memory_has_a_line_for_each_model():
    (table,) = cells(part_text("memory", ROWS["memory"]()))
    assert [line[0] for line in table[1:]] == ["NetWarp at at_eighth, FlowCNN at layer stride", "training-free"]
    assert column(table, "after 200 frames") == ["620.0", "600.0"]
    assert column(table, "8 streams") == ["716.0", "696.0"]
    assert column(table, "for one more") == ["+12.0", "+12.0"]


def test_a_part_that_was_cut_off_has_what_there_is():
    rows = ROWS["memory"]()
    (table,) = cells(part_text("memory", rows[:2]))
    assert "8 streams" not in table[0]
    assert column(table, "for 1,000 more") == ["–"]
    text = part_text("flow", ROWS["flow"]()[:5])  # the second size has one flow so far
    assert column(cells(text)[0], "ms, 640×480") == ["14.4", "–", "–", "–"]
    for part, make in ROWS.items():
        assert part_text(part, make()[:1]).startswith(f"## {TITLES[part]}")


def test_losses_of_flows():
    _, table = cells(part_text("flow", ROWS["flow"]()))
    assert [line[0] for line in table[1:]] == ["frame by frame", "dis:medium", "dis:fast"]
    assert column(table, "IoU lost") == ["", "+0.00", "+0.08"]
    assert column(table, "tIoU lost") == ["", "+0.00", "−0.03"]


def test_what_was_made_up_is_all_of_it():
    assert set(measured().rows) == set(PARTS)
