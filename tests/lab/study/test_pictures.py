"""The two pictures, from known scores and label maps."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from netwarp.lab.study import figures
from netwarp.lab.study.figures import ComparedClip, draw_crops, draw_curves
from netwarp.lab.study.rows import BASE, Row
from netwarp.lab.study.store import UnitScores
from netwarp.label_sets import CAMVID

UNUSED = Path("unused.png")
ROWS = (
    Row(BASE),
    Row("Control", ("x",), control=True),
    Row("Ours", ("x",), against="Control", drawn=True),
    Row("Others", ("x",), against="Control"),
)


def scores(row: str, fold: int, factor: float) -> UnitScores:
    tiou = {width: factor * (40 + width + fold) for width in range(1, 21)}
    return UnitScores(row, fold, 0, 60.0, {}, tiou, 97.0, 3, (1.0, 1.0), 1, {}, {})


UNITS = [scores(row, f, factor) for row, factor in ((BASE, 1.0), ("Control", 0.99), ("Ours", 1.05)) for f in (0, 1)]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch):
    """The figures that were to be written."""
    kept = []
    monkeypatch.setattr(figures, "save_figure", lambda figure, _: kept.append(figure))
    return kept


def test_curves_are_relative_gains_of_drawn_rows_and_their_control(drawn):
    draw_curves(ROWS, UNITS, "a title", UNUSED)
    axes = drawn[0].axes[0]
    lines = {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
    assert set(lines) == {"Ours", "Control"}
    assert list(lines["Ours"].get_xdata()) == list(range(1, 21))
    np.testing.assert_allclose(lines["Ours"].get_ydata(), 5.0)
    np.testing.assert_allclose(lines["Control"].get_ydata(), -1.0)
    assert axes.get_title() == "a title"


def clip() -> ComparedClip:
    """Two frames of 60×90: NetWarp is right in a patch of the first, and wrong in a patch of the second."""
    truth = np.zeros((2, 60, 90), np.uint8)
    truth[0, 0, 0] = 255
    base, warped = truth.copy(), truth.copy()
    base[truth == 255] = warped[truth == 255] = 11
    base[0, 5:15, 5:15] = 3  # 100 pixels gained
    warped[1, 40:45, 60:70] = 11  # 50 lost, to what is no class
    images = np.random.default_rng(0).integers(0, 256, (2, 60, 90, 3), dtype=np.uint8)
    return ComparedClip(("first", "second"), images, truth, base, warped)


def test_crops_show_gains_and_losses(drawn):
    draw_crops([clip()], CAMVID, "Ours", UNUSED, title="Figure 6")
    assert drawn[0].get_suptitle().startswith("Figure 6\n")
    labels = [axes.get_ylabel() for axes in drawn[0].axes]
    assert "+100 px\nfirst" in labels
    lost = labels.index("−50 px\nsecond")
    assert [axes.get_title() for axes in drawn[0].axes[:4]] == ["frame", "truth", "frame by frame", "NetWarp"]
    pictures = [np.asarray(axes.images[0].get_array()) for axes in (*drawn[0].axes[:4], drawn[0].axes[lost + 3])]
    # The window with the gain: truth is all sky but for the pixel that nobody labelled.
    _, truth, base, _, warped = pictures
    assert truth.shape == (20, 30, 3)
    sky, road = (np.array(CAMVID.palette[index]) for index in (0, 3))
    assert (truth[0, 0] == 0).all()
    assert (base[0, 0] == 0).all()
    assert (truth.reshape(-1, 3)[1:] == sky).all()
    assert (base == road).all(2).sum() == 100
    assert (warped == 255).all(2).sum() == 50


def test_both_are_pictures_crops_also_without_a_difference(tmp_path: Path):
    draw_curves(ROWS, UNITS, "a title", tmp_path / "curve.png")
    draw_crops([clip()], CAMVID, "Ours", tmp_path / "some.png")
    draw_crops([replace(clip(), warped=clip().base)], CAMVID, "Ours", tmp_path / "none.png")
    for path in tmp_path.iterdir():
        picture = np.asarray(Image.open(path).convert("RGB"))
        assert min(picture.shape[:2]) > 100
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20
