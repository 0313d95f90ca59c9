"""Which views of a frame a network is shown: counts, places, and what is refused."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netwarp.errors import ConfigurationError
from netwarp.inference.views import Tiling, View, Views, scaled_size, starts

PAPER = (0.5, 0.75, 1, 1.25, 1.5, 1.75)
CITYSCAPES = (1024, 2048)


def windows(views: Views, frame: tuple[int, int] = CITYSCAPES) -> list[int]:
    return [len(tiling.views(views.flip)) for tiling in views.tilings(frame)]


def test_the_papers_counts():
    """Section 4.2: 8 windows at a single scale, 81 over six scales."""
    assert windows(Views.of(713, 476)) == [8]
    assert windows(Views.of(713, 476, PAPER)) == [2, 6, 8, 15, 18, 32]
    assert sum(windows(Views.of(713, 476, PAPER))) == 81
    assert sum(windows(Views.of(713, 476, PAPER, flip=True))) == 162
    assert Views.of(713).stride == (476, 476)


def test_sizes_are_the_releases():
    assert [scaled_size(CITYSCAPES, scale) for scale in PAPER] == [
        (513, 1025), (769, 1537), (1025, 2049), (1281, 2561), (1537, 3073), (1793, 3585),
    ]  # fmt: skip
    assert scaled_size((5, 3), 0.5) == (4, 3)  # halves go up


def test_a_mirrored_twin_follows_each_window():
    (tiling,) = Views.of(4, 4, flip=True).tilings((4, 8))
    assert tiling.views(flip=True) == [View(0, 0, False), View(0, 0, True), View(0, 4, False), View(0, 4, True)]


def test_without_windows_a_scale_is_one_view():
    assert [t.window for t in Views.of(scales=[0.5, 2]).tilings((10, 20))] == [(6, 11), (21, 41)]
    assert [t.window for t in Views.of(flip=True).tilings((10, 20))] == [(10, 20)]


def test_what_is_nothing_but_the_frame():
    assert not Views.of()
    assert all((Views.of(8), Views.of(scales=[1]), Views.of(flip=True)))


@pytest.mark.parametrize("flip", ["logit", "average", 2, None])
def test_what_is_no_way_to_fuse_mirrors(flip):
    with pytest.raises(ConfigurationError, match=str(flip)):
        Views.of(flip=flip)


def test_what_a_network_is_tried_on_and_works_on():
    assert Views.of(713).first(CITYSCAPES) == (713, 713)
    assert Views.of(scales=[0.5, 1]).first(CITYSCAPES) == (513, 1025)
    assert Views.of().first(CITYSCAPES) == CITYSCAPES
    assert Views.of(713, 476, PAPER, flip=True).pixels(CITYSCAPES) == 162 * 713**2
    assert Views.of().pixels(CITYSCAPES) == 1024 * 2048


@given(st.data())
def test_windows_cover_everything_and_reach_no_further(data: st.DataObject):
    length = data.draw(st.integers(1, 90))
    window = data.draw(st.integers(1, 100))
    stride = data.draw(st.integers(1, window))
    begin = starts(length, window, stride)
    assert begin[0] == 0
    assert list(begin) == sorted(set(begin))
    assert all(later - earlier <= stride for earlier, later in itertools.pairwise(begin))
    assert begin[-1] + window == max(length, window)
    # One window fewer would not do.
    assert (len(begin) - 2) * stride + window < length or len(begin) == 1
    tiling = Tiling((length, 1), (window, 1), begin, (0,))
    rows, columns = tiling.coverage()
    counted = [0] * max(length, window)
    for first in begin:
        for row in range(first, first + window):
            counted[row] += 1
    assert rows == counted[:length]
    assert columns == [1]
    assert min(rows) >= 1


@pytest.mark.parametrize(
    ("options", "value"),
    [
        *(({"window": side}, re.escape(repr(side))) for side in (0, -4, (4,), (4, 2.5), "713", True)),
        ({"window": 8, "stride": 0}, "stride .* not 0"),
        ({"window": (8, 4), "stride": 5}, "5×5 .* 4×8"),
        ({"stride": 4}, "stride"),
        *(({"scales": scales}, re.escape(repr(scales))) for scales in ([], 0.5, "0.5")),
        *(({"scales": [1, scale]}, re.escape(repr(scale))) for scale in (0, -1, float("nan"), 11, "2")),
        ({"scales": [0.5, 1, 0.5]}, "0.5, 1, 0.5"),
    ],
)
def test_what_is_refused(options: dict, value: str):
    with pytest.raises(ConfigurationError, match=value):
        Views.of(**options)
