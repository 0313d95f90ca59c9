"""The figures: what docs/speed.md says is in the JSON is in it, every figure at its place in the tables, and drawn."""

import json
import math
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lab.benchmark.made_figures import FOUND, WARP, figures
from netwarp.errors import MissingExtraError, OutputError
from netwarp.lab.benchmark.plan import PARTS
from netwarp.lab.benchmark.plot import figure_of
from netwarp.lab.benchmark.run import PARTS as MEASURED
from netwarp.lab.benchmark.tables import TABLES, TITLES, Found, part_text
from netwarp.lab.machine import machine, machine_line
from netwarp.lab.output import save_figure

SPEED = Path(__file__).parents[3] / "docs" / "speed.md"


def printed(part: str, *rows: Any) -> str:
    return part_text(part, figures({part: list(rows) or FOUND[part]}).tables(part))


def tables(text: str) -> list[list[dict[str, str]]]:
    """The lines of each table, by the heads of their columns."""
    found = []
    for block in text.split("\n\n"):
        if block.startswith("|"):
            head, _, *lines = ([cell.strip() for cell in line.split("|")[1:-1]] for line in block.splitlines())
            found.append([dict(zip(head, line, strict=True)) for line in lines])
    return found


def test_every_part_has_a_title_a_measure_and_tables():
    assert PARTS == tuple(TITLES) == tuple(MEASURED) == tuple(FOUND)
    assert {name.partition(".")[0] for name in TABLES} == set(PARTS)
    made = {f"{part}.{table}" for part, found in FOUND.items() for table, _ in found}
    assert made == set(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_the_docs_and_the_json_name_every_figure(name: str):
    text, (part, table) = SPEED.read_text(encoding="utf-8"), name.split(".")
    assert f"`{name}`" in text
    for row in json.loads(json.dumps(figures().document, allow_nan=False))["parts"][part][table]:
        assert list(row) == [column.name for column in TABLES[name]]
    for column in TABLES[name]:
        assert f"`{column.name}`" in text, f"docs/speed.md does not say what {column.name} is"


def test_the_json():
    document = figures(quick=True, runs=2).document
    assert list(document) == ["format", "quick", "machine", "settings", "parts"]
    assert (document["format"], document["quick"], document["machine"]["cpu"]) == (1, True, "Abacus 9")
    assert document["settings"] == {
        "runs": 2, "flow": "dis", "motion": "smooth", "cpu_time": False, "data": None, "base": None,
    }  # fmt: skip
    assert document["parts"]["warp"]["seconds"] is None  # cut off, so far


def test_numbers_in_the_json_are_short_and_finite():
    changed = WARP | {"add_ms": 1.23456789, "clone_ms": math.nan, "ours_ms": math.inf}
    (row,) = figures({"warp": [("rows", changed)]}).tables("warp")["rows"]
    assert (row["add_ms"], row["clone_ms"], row["ours_ms"]) == (1.23457, None, None)


@pytest.mark.parametrize(
    ("part", "table", "line", "cells"),
    [
        ("warp", 0, 0, {"ms": "1×1024×128×128, contiguous, float32", "add": "40.0", "eager": "320", "compile": "160"}),
        ("warp", 1, 0, {"ours/add": "1.10", "eager/ours with backward": "8.2", "of clone's bandwidth": "102 %"}),
        ("warp", 1, 1, {"ratios": "1×1024×128×128, other, float32", "shift off": "2e-05"}),
        ("stream", 0, 0, {"network, frames": "ESPNet, 480×360", "× frame by frame": "1.000"}),
        ("stream", 0, 1, {"ms a frame": "107.0", "ms, video written": "80.0", "× frame by frame, written": "1.070"}),
        ("stream", 0, -1, {"ms, video written": "–", "× frame by frame, written": "–"}),
        ("streams", 0, 3, {"streams": "8", "frames a second in sum": "13.0", "× one stream": "1.08"}),
        ("streams", 0, 7, {"model": "training-free", "resident MiB": "1020"}),
        ("memory", 0, 0, {"after 200 frames": "620.0", "streams: 8": "716.0"}),
        ("memory", 0, 1, {"for 1,000 frames more": "+0.0", "for one stream more": "+12.0"}),
        ("flow", 0, 1, {"flow": "dis:fast", "ms, 640×480": "3.60", "× dis:medium, 640×480": "0.25"}),
        ("flow", 1, 0, {"training-free with": "frame by frame", "IoU": "70.02", "IoU lost": ""}),
        ("flow", 1, 2, {"IoU lost": "+0.08", "tIoU lost": "−0.03", "tIoU, 2 px": "43.77", "ms a frame": "80.0"}),
    ],
)  # fmt: skip
def test_cells(part: str, table: int, line: int, cells: dict[str, str]):
    found = tables(printed(part))[table][line]
    assert {head: found[head] for head in cells} == cells


def test_why_there_is_no_compiled_form():
    without = WARP | {"compiled_ms": None, "compiled_over_ours": None, "not_compiled": "no compiler", "shift_off": 0.0}
    text = printed("warp", ("rows", without))
    assert "Without `torch.compile`: no compiler." in text
    times, ratios = tables(text)
    assert (times[0]["compile"], ratios[0]["compile/ours"], ratios[0]["shift off"]) == ("–", "–", "0")
    assert "Without" not in printed("warp")


def test_a_part_that_was_cut_off_has_what_there_is():
    for part, found in FOUND.items():
        text = printed(part, found[0])
        assert text.startswith(f"## {TITLES[part]}\n\n|")
        assert "None" not in text
    assert list(tables(printed("memory", *FOUND["memory"][:2]))[0][0]) == [
        "resident MiB", "after 50 frames", "after 200 frames",
    ]  # fmt: skip
    (times,) = tables(printed("flow", *FOUND["flow"][:5]))  # the second size has one flow so far
    assert [line["ms, 640×480"] for line in times] == ["14.4", "–", "–", "–"]


def test_the_machine_is_described_and_not_named():
    facts = machine("cpu", 3)
    assert facts["threads"] == 3
    assert facts["gpu"] is facts["cuda"] is None
    assert facts["torch"] == torch.__version__
    assert facts["cpu"]
    assert facts["cores"] >= 1
    assert platform.node() not in json.dumps(facts) or len(platform.node()) < 4
    assert machine("cpu")["threads"] == torch.get_num_threads()
    line = machine_line(facts)
    assert line.startswith(f"{facts['cpu']}, ")
    assert f"torch {torch.__version__}" in line
    assert "None" not in line


def panels(found: dict[str, list[Found]], **asked: Any) -> dict[str, Any]:
    return {axes.get_title(loc="left"): axes for axes in figure_of(figures(found, **asked)).axes}


def test_all_of_it_is_a_picture(tmp_path: Path):
    save_figure(figure_of(figures()), tmp_path / "speed.png")
    picture = np.asarray(Image.open(tmp_path / "speed.png").convert("RGB"))
    assert picture.shape[1] == 1650
    assert picture.std() > 10
    assert [path.name for path in tmp_path.iterdir()] == ["speed.png"]


@pytest.mark.parametrize("part", FOUND)
def test_what_was_cut_off_can_be_drawn(part: str):
    assert list(panels({part: FOUND[part][:1]})) == [TITLES[part]]


def test_bars_of_the_warp_go_from_the_limit_to_the_ratio():
    fast = WARP | {"ours_over_add": 0.9, "compiled_over_add": None, "dtype": "float16"}
    axes = panels({"warp": [("rows", WARP), ("rows", fast)]})[TITLES["warp"]]
    ends = [tuple(sorted((bar.get_x(), bar.get_x() + bar.get_width()))) for bar in axes.patches]
    np.testing.assert_allclose(ends, [(1, 1.1), (1, 4), (1, 8), (0.9, 1), (1, 8)])
    assert axes.get_xscale() == "log"
    assert axes.get_xlim()[0] < 0.9
    assert [line.get_xdata()[0] for line in axes.lines] == [1]
    # Dtypes are named, since there are several.
    assert axes.get_yticklabels()[1].get_text() == "1×1024×128×128\nchannels-last, float16"


def test_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(OutputError, match=r"taken\.png"):
        save_figure(figure_of(figures()), tmp_path / "taken.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match="matplotlib"):
        save_figure(figure_of(figures()), tmp_path / "other.png")
    assert [path.name for path in tmp_path.iterdir()] == ["taken.png"]
