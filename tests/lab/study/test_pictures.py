"""The two pictures, from known figures and label maps."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from netwarp.errors import MissingExtraError, OutputError
from netwarp.lab.output import new_figure, save_figure
from netwarp.lab.study import figures as crops
from netwarp.lab.study import figures as curve
from netwarp.lab.study.rows import BASE, Row
from netwarp.lab.study.store import UnitScores
from netwarp.label_sets import CAMVID

ROWS = (
    Row(BASE),
    Row("Control", ("x",), control=True),
    Row("Ours", ("x",), against="Control", drawn=True),
    Row("Others", ("x",), against="Control"),
)


def figures(row: str, fold: int, factor: float) -> UnitScores:
    tiou = {width: factor * (40 + width + fold) for width in range(1, 21)}
    return UnitScores(row, fold, 0, 60.0, {}, tiou, 97.0, 3, (1.0, 1.0), 1, {}, {})


ALL = [
    figures(row, fold, factor) for row, factor in ((BASE, 1.0), ("Control", 0.99), ("Ours", 1.05)) for fold in (0, 1)
]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch):
    """The figures that were to be written."""
    kept = []
    for module in (crops, curve):
        monkeypatch.setattr(module, "save_figure", lambda figure, _: kept.append(figure))
    return kept


def test_curves_are_relative_gains_of_drawn_rows_and_their_control(drawn):
    curve.draw_curves(ROWS, ALL, "a title", Path("unused.png"))
    axes = drawn[0].axes[0]
    lines = {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
    assert set(lines) == {"Ours", "Control"}
    assert list(lines["Ours"].get_xdata()) == list(range(1, 21))
    np.testing.assert_allclose(lines["Ours"].get_ydata(), 5.0)
    np.testing.assert_allclose(lines["Control"].get_ydata(), -1.0)
    assert axes.get_title() == "a title"


def test_curves_are_a_picture(tmp_path: Path):
    curve.draw_curves(ROWS, ALL, "a title", tmp_path / "curve.png")
    _has_content(tmp_path / "curve.png")


def clip() -> crops.ComparedClip:
    """Two frames of 60×90: NetWarp is right in a patch of the first, and wrong in a patch of the second."""
    truth = np.zeros((2, 60, 90), np.uint8)
    truth[0, 0, 0] = 255
    base, warped = truth.copy(), truth.copy()
    base[truth == 255] = 11
    warped[truth == 255] = 11
    base[0, 5:15, 5:15] = 3  # 100 pixels gained
    warped[1, 40:45, 60:70] = 11  # 50 lost, to what is no class
    images = np.random.default_rng(0).integers(0, 256, (2, 60, 90, 3), dtype=np.uint8)
    return crops.ComparedClip(("first", "second"), images, truth, base, warped)


def test_crops_show_gains_and_losses(drawn):
    crops.draw_crops([clip()], CAMVID, "Ours", Path("unused.png"))
    labels = [axes.get_ylabel() for axes in drawn[0].axes]
    assert "+100 px\nfirst" in labels
    assert "−50 px\nsecond" in labels
    assert [axes.get_title() for axes in drawn[0].axes[:4]] == ["frame", "truth", "frame by frame", "NetWarp"]
    # The window with the gain: truth is all sky but for the pixel that nobody labelled.
    _, truth, base, _ = (np.asarray(axes.images[0].get_array()) for axes in drawn[0].axes[:4])
    assert truth.shape == (20, 30, 3)
    sky, road = (np.array(CAMVID.palette[index]) for index in (0, 3))
    assert (truth[0, 0] == 0).all()
    assert (base[0, 0] == 0).all()
    assert (truth.reshape(-1, 3)[1:] == sky).all()
    assert (base == road).all(2).sum() == 100
    lost = [np.asarray(drawn[0].axes[labels.index("−50 px\nsecond") + 3].images[0].get_array())]
    assert (lost[0] == 255).all(2).sum() == 50


def test_crops_have_the_title_that_they_are_given(drawn):
    crops.draw_crops([clip()], CAMVID, "Ours", Path("unused.png"), title="Figure 6: a title")
    crops.draw_crops([clip()], CAMVID, "Ours", Path("unused.png"))
    titles = [figure.get_suptitle().split("\n") for figure in drawn]
    assert titles[0][0] == "Figure 6: a title"
    assert titles[0][1:] == titles[1]
    assert titles[1][0].startswith("Windows of")


def test_crops_are_a_picture_also_without_a_difference(tmp_path: Path):
    crops.draw_crops([clip()], CAMVID, "Ours", tmp_path / "some.png")
    _has_content(tmp_path / "some.png")
    same = clip()
    crops.draw_crops([replace(same, warped=same.base)], CAMVID, "Ours", tmp_path / "none.png")
    _has_content(tmp_path / "none.png")


def test_a_picture_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="--out"):
        save_figure(new_figure(1, 1), tmp_path / "file" / "a.png")


def test_no_matplotlib_is_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"netwarp\[report\]"):
        new_figure(1, 1)


def _has_content(path: Path) -> None:
    picture = np.asarray(Image.open(path).convert("RGB"))
    assert min(picture.shape[:2]) > 100
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20
