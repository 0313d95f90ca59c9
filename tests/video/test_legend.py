"""Names beside their colours: those that occur, in places that stay, in what room there is."""

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import pytest

from netwarp.video.legend import LEAST_SHARE, TALLEST, Legend

NAMES = ("road", "a car", "sky", "tree")
PALETTE = ((200, 10, 10), (10, 200, 10), (10, 10, 200), (200, 200, 10))


def grey(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 90, np.uint8)


def swatches(picture: np.ndarray, colour: tuple[int, int, int]) -> list[tuple[int, int]]:
    """(row, column) of the left upper pixels of boxes of a colour, as a loop finds them."""
    there = (picture == colour).all(-1)
    return [
        (y, x)
        for y, x in zip(*np.nonzero(there), strict=True)
        if not there[y - 1, x] and not there[y, x - 1]
    ]  # fmt: skip


@pytest.mark.parametrize(("height", "width"), [(360, 480), (1080, 1920)])
def test_each_class_that_occurs_has_a_box_and_its_name(height: int, width: int):
    labels = np.zeros((height, width), np.uint8)
    labels[:, width // 2 :] = 2
    drawn = Legend(NAMES, PALETTE).draw(grey(height, width), labels)
    (first,), (second,) = swatches(drawn, PALETTE[0]), swatches(drawn, PALETTE[2])
    assert first[0] == second[0] > height * 0.9
    assert first[1] < second[1]
    assert not swatches(drawn, PALETTE[1])
    # The name's own pixels, drawn anew, lie behind the box in white.
    font = PIL.ImageFont.load_default(max(11, round(height / 30)))
    text = PIL.Image.new("L", (round(font.getlength("road")), 2 * round(height / 30)), 0)
    PIL.ImageDraw.Draw(text).text((0, text.height // 2), "road", fill=255, font=font, anchor="lm")
    ink = int((np.array(text) > 200).sum())
    behind_box = drawn[first[0] - 5 :, first[1] + round(height / 30) : second[1] - 2]
    assert (behind_box.min(-1) > 200).sum() == pytest.approx(ink, rel=0.1)
    assert np.array_equal(drawn[: height // 2], grey(height, width)[: height // 2])


def test_places_stay_and_specks_have_none():
    legend, labels = Legend(NAMES, PALETTE), np.full((100, 200), 3, np.uint8)
    before = swatches(legend.draw(grey(100, 200), labels), PALETTE[3])
    labels[0, : int(LEAST_SHARE * labels.size) - 1] = 1
    assert not swatches(legend.draw(grey(100, 200), labels), PALETTE[1])
    labels[:50] = 0
    drawn = legend.draw(grey(100, 200), labels)
    assert swatches(drawn, PALETTE[3]) == before
    assert len(swatches(drawn, PALETTE[0])) == 1
    labels[:] = 255
    assert np.array_equal(legend.draw(grey(100, 200), labels), drawn), "what was there keeps its place"


def test_what_has_no_room_is_counted_and_long_names_are_cut():
    names = ["x" * 300, *(f"class {i}" for i in range(1, 200))]
    labels = np.repeat(np.arange(200), 50).reshape(50, 200).astype(np.uint8)
    for height, width in ((100, 120), (360, 480), (40, 30)):
        drawn = Legend(names, [(1, 2, 3)] * 200).draw(grey(height, width), labels)
        assert drawn.shape == (height, width, 3)
        kept = int(height * (1 - TALLEST)) - height // 6
        assert np.array_equal(drawn[:kept], grey(height, width)[:kept])


def test_sets_and_what_is_left_out():
    sets = np.zeros((2, 60, 80), np.uint8)
    assert np.array_equal(Legend(NAMES[:2], PALETTE[:2]).draw(grey(60, 80), sets), grey(60, 80))
    sets[1] = 1
    assert swatches(Legend(NAMES[:2], PALETTE[:2]).draw(grey(60, 80), sets), PALETTE[1])
    nothing = Legend(NAMES[:2], PALETTE[:2], without=(0,)).draw(grey(60, 80), np.zeros((60, 80), np.uint8))
    assert np.array_equal(nothing, grey(60, 80))
