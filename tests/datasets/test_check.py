"""The check of a data set: every fault is named, in order, and what is whole is counted."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from netwarp.datasets.check import check_data
from netwarp.datasets.clips import Clip, ClipData, ClipFrame, LeftOut
from netwarp.errors import InputError
from netwarp.label_sets import LabelSet

CLASSES = LabelSet(("road", "sky", "car"), ((1, 1, 1), (2, 2, 2), (3, 3, 3)))


def image(height: int = 4, width: int = 6) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def labels(value: int = 0, height: int = 4, width: int = 6) -> np.ndarray:
    return np.full((height, width), value, np.uint8)


def frame(name: str, value: int | None = None) -> ClipFrame:
    return ClipFrame(name, image, None if value is None else lambda: labels(value))


def data_of(*clips: list[ClipFrame], left_out: tuple[LeftOut, ...] = ()) -> ClipData:
    return ClipData("made", CLASSES, tuple(Clip(c[0].name, tuple(c)) for c in clips), left_out)


def test_a_summary_counts_everything():
    mixed = np.array([[0, 0, 1, 255]], np.uint8).repeat(2, 0)
    small = ClipFrame("b1", lambda: image(2, 4))
    data = data_of(
        [frame("a1", 0), frame("a2"), frame("a3", 0)],
        [small, ClipFrame("b2", lambda: image(2, 4), lambda: mixed)],
        left_out=(LeftOut("x", "lost"), LeftOut("y", "lost")),
    )
    seen = []
    summary = check_data(data, advance=lambda: seen.append(1))
    assert len(seen) == 5
    assert (summary.clips, summary.frames, summary.labelled, summary.samples) == (2, 5, 3, 2)
    assert summary.sizes == {(6, 4): 3, (4, 2): 2}
    assert summary.pixels == [24 + 24 + 4, 2, 0, 2]
    assert summary.shares == pytest.approx({"road": 100 * 52 / 54, "sky": 100 * 2 / 54, "car": 0})
    assert summary.reasons == {"lost": ["x", "y"], "no frame before it, and clips of 2 need 1": ["a1"]}
    text = summary.text()
    for part in ("made", "5, 6×4 (3), 4×2 (2)", "2 of 2 frames", "2: lost (x, y)", "road 96.30 %", "3.57 % of"):
        assert part in text


def test_other_lengths():
    data = data_of([frame(str(n), 0) for n in range(5)])
    assert check_data(data, 1).samples == 5
    three = check_data(data, 3)
    assert (three.samples, len(three.left_out)) == (3, 2)
    assert "3 of 3 frames" in three.text()
    assert "1 frame\n" in check_data(data, 1).text()


def test_nothing_labelled():
    summary = check_data(data_of([frame("a"), frame("b")]))
    assert summary.samples == 0
    assert all(math.isnan(share) for share in summary.shares.values())
    assert "0.00 % of the labelled pixels" in summary.text()


def broken() -> np.ndarray:
    raise InputError("a2.png cannot be decoded")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": broken}, "a2.png cannot be decoded"),
        ({"labels": broken}, "a2.png cannot be decoded"),
        ({"image": lambda: image(4, 7)}, "frame a2 is 7×4, the one before it 6×4: all frames of clip a1"),
        ({"image": lambda: image()[..., 0]}, r"frame a2 is uint8 \[4, 6\]"),
        ({"image": lambda: image().astype(float)}, "frame a2 is float64"),
        ({"labels": lambda: labels(0, 8, 12)}, "the labels of frame a2 are 12×8, the frame is 6×4"),
        ({"labels": lambda: labels(3)}, "the labels of frame a2 hold 3 in 24 pixels: classes are 0 to 2"),
        ({"name": "a1"}, "two frames called a1"),
        ({"instances": lambda: np.zeros((4, 5), np.int32)}, "the instances of frame a2 are 5×4"),
        ({"flow": lambda: np.zeros((4, 6, 2), np.float32)}, r"the flow of frame a2 is \[4, 6, 2\], not \[2,4,6\]"),
        ({"flow": lambda: np.full((2, 4, 6), np.nan, np.float32)}, "the flow of frame a2 holds values that are not"),
    ],
)
def test_each_fault_is_named(change: dict[str, Callable], message: str):
    data = data_of([frame("a1", 0), replace(frame("a2", 0), **change), replace(frame("a3", 0), image=None)])
    with pytest.raises(InputError, match=message):
        check_data(data)
