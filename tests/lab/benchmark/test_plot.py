"""The picture: a panel for each part, bars that begin at the limit, a file that is whole."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lab.benchmark.made_figures import FOUND, WARP, figures
from netwarp.errors import MissingExtraError, OutputError
from netwarp.lab.benchmark.plot import figure_of
from netwarp.lab.benchmark.tables import TITLES, Found
from netwarp.lab.output import save_figure


def panels(found: dict[str, list[Found]], **asked: Any) -> dict[str, Any]:
    return {axes.get_title(loc="left"): axes for axes in figure_of(figures(found, **asked)).axes}


def test_all_of_it_is_a_picture(tmp_path: Path):
    save_figure(figure_of(figures()), tmp_path / "speed.png")
    picture = np.asarray(Image.open(tmp_path / "speed.png").convert("RGB"))
    assert picture.shape[1] == 1650
    assert picture.std() > 10
    assert [path.name for path in tmp_path.iterdir()] == ["speed.png"]


@pytest.mark.parametrize("parts", [["streams"], ["warp", "flow"], ["streams", "memory", "flow"], list(FOUND)])
def test_a_panel_for_each_part_that_was_run(parts: list[str]):
    assert list(panels({part: FOUND[part] for part in parts})) == [TITLES[part] for part in parts]


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


def test_lines_over_streams_and_frames():
    drawn = panels({part: FOUND[part] for part in ("streams", "memory")})
    streams = {line.get_label(): line for line in drawn[TITLES["streams"]].lines}
    assert list(streams["ESPNet, training-free"].get_xdata()) == [1, 2, 4, 8]
    lengths = {line.get_label(): line for line in drawn[TITLES["memory"]].lines}
    assert list(lengths["StreetNet, training-free"].get_xdata()) == [50, 200, 1000]
    assert set(lengths["StreetNet, training-free"].get_ydata()) == {600.0}


def test_a_quick_run_says_so():
    assert "quick run" in figure_of(figures({"flow": FOUND["flow"]}, quick=True)).get_suptitle()


def test_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(OutputError, match=r"taken\.png"):
        save_figure(figure_of(figures()), tmp_path / "taken.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match="matplotlib"):
        save_figure(figure_of(figures()), tmp_path / "other.png")
    assert [path.name for path in tmp_path.iterdir()] == ["taken.png"]
