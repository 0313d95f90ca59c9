"""The picture: a panel for each part, bars that begin at the limit, a file that is whole."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lab.benchmark.made_rows import ROWS, WARP, measured
from netwarp.errors import MissingExtraError, OutputError
from netwarp.lab.benchmark.plan import BenchmarkPlan
from netwarp.lab.benchmark.plot import draw, figure_of
from netwarp.lab.benchmark.tables import TITLES


def panels(figure) -> dict[str, object]:
    return {axes.get_title(loc="left"): axes for axes in figure.axes}


def test_all_of_it_is_a_picture(tmp_path: Path):
    draw(measured(), tmp_path / "speed.png")
    picture = np.asarray(Image.open(tmp_path / "speed.png").convert("RGB"))
    assert picture.shape[1] == 1650
    assert picture.std() > 10
    assert [path.name for path in tmp_path.iterdir()] == ["speed.png"]


@pytest.mark.parametrize(
    "parts", [("warp",), ("streams",), ("warp", "flow"), ("streams", "memory", "flow"), tuple(ROWS)]
)
def test_a_panel_for_each_part_that_was_run(parts: tuple[str, ...]):
    assert set(panels(figure_of(measured(*parts)))) == {TITLES[part] for part in parts}


def test_bars_of_the_warp_go_from_the_limit_to_the_ratio():
    several = measured("warp")
    fast = replace(WARP, ours_over_add=0.9, compiled_over_add=None)
    several.rows["warp"] = [WARP, fast]
    axes = panels(figure_of(several))[TITLES["warp"]]
    ends = [tuple(sorted((bar.get_x(), bar.get_x() + bar.get_width()))) for bar in axes.patches]
    np.testing.assert_allclose(ends, [(1, 1.1), (1, 4), (1, 8), (0.9, 1), (1, 8)])
    assert axes.get_xscale() == "log"
    assert axes.get_xlim()[0] < 0.9
    assert [line.get_xdata()[0] for line in axes.lines] == [1]


def test_dtypes_are_named_where_there_are_several():
    several = measured("warp")
    several.rows["warp"] = [WARP, replace(WARP, dtype="float16")]
    labels = [text.get_text() for text in panels(figure_of(several))[TITLES["warp"]].get_yticklabels()]
    assert labels[1].endswith("channels-last, float16")


def test_lines_over_streams_and_frames():
    drawn = panels(figure_of(measured("streams", "memory")))
    together = {line.get_label(): line for line in drawn[TITLES["streams"]].lines}
    assert list(together["ESPNet, training-free"].get_xdata()) == [1, 2, 4, 8]
    lengths = {line.get_label(): line for line in drawn[TITLES["memory"]].lines}
    assert list(lengths["training-free"].get_xdata()) == [50, 200, 1000]
    assert set(lengths["training-free"].get_ydata()) == {600.0}


@pytest.mark.parametrize("part", ROWS)
def test_what_was_cut_off_can_be_drawn(part: str):
    begun = measured(part)
    begun.rows[part] = begun.rows[part][:1]
    assert list(panels(figure_of(begun))) == [TITLES[part]]


def test_a_quick_run_says_so():
    quick = figure_of(measured("flow", plan=BenchmarkPlan(quick=True)))
    assert "quick run" in quick.get_suptitle()


def test_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(OutputError, match=r"taken\.png"):
        draw(measured("flow"), tmp_path / "taken.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match="matplotlib"):
        draw(measured("flow"), tmp_path / "other.png")
    assert [path.name for path in tmp_path.iterdir()] == ["taken.png"]
