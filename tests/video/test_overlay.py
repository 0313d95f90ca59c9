"""Overlays and pictures side by side."""

import numpy as np
import pytest
from clips import picture

from netwarp.errors import ConfigurationError
from netwarp.video.overlay import overlay, side_by_side

PALETTE = [(200, 0, 0), (0, 100, 50)]


def test_blend_equals_its_definition_away_from_edges() -> None:
    image = picture(0)
    labels = np.zeros((96, 128), np.int64)
    labels[:, 64:] = 1
    for alpha in (0.0, 0.3, 0.5, 1.0):
        result = overlay(image, labels, PALETTE, alpha=alpha)
        assert result.dtype == np.uint8
        expected = (1 - alpha) * image + alpha * np.array(PALETTE)[labels]
        np.testing.assert_allclose(result[:, :60], expected[:, :60], atol=0.51)
        np.testing.assert_allclose(result[:, 68:], expected[:, 68:], atol=0.51)


def test_lines_lie_where_labels_meet_and_nowhere_else() -> None:
    labels = np.zeros((96, 128), np.uint8)
    labels[40:, 70:] = 1
    image = np.zeros((96, 128, 3), np.uint8)
    lined = overlay(image, labels, PALETTE)
    plain = 0.5 * np.array(PALETTE)[labels]
    changed = np.argwhere((abs(lined - plain) > 0.5).any(-1))
    expected = {(row, 69) for row in range(40, 96)} | {(39, column) for column in range(70, 128)}
    assert {tuple(at) for at in changed.tolist()} == expected
    assert (lined[39, 100] > plain[39, 100]).all()


def test_the_input_is_left_alone_and_ignored_pixels_too() -> None:
    image, labels = picture(0), np.full((96, 128), 255, np.uint8)
    labels[:, :64] = 0
    before = image.copy()
    result = overlay(image, labels, PALETTE)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(result[:, 64:], image[:, 64:])
    assert (result[:, :60] != image[:, :60]).any()


def test_overlay_refuses_what_does_not_fit() -> None:
    with pytest.raises(ConfigurationError, match="128×96"):
        overlay(picture(0), np.zeros((95, 128), np.uint8), PALETTE)
    with pytest.raises(ConfigurationError, match="alpha"):
        overlay(picture(0), np.zeros((96, 128), np.uint8), PALETTE, alpha=1.5)


@pytest.mark.parametrize("size", [(360, 480), (1080, 1920), (96, 128)])
def test_pictures_stand_beside_each_other_with_captions_that_fit(size: tuple[int, int]) -> None:
    height, width = size
    left, right = picture(0, height, width), picture(30, height, width)
    plain = side_by_side(left, right)
    assert plain.shape[0] == height
    assert plain.shape[1] % 2 == 0
    np.testing.assert_array_equal(plain[:, :width], left)
    np.testing.assert_array_equal(plain[:, -width:], right)
    captioned = side_by_side(left, right, ("frame by frame", "video network, a caption that is rather long"))
    changed = (captioned != plain).any(-1)
    assert changed[: height // 4, : width // 2].any()
    assert changed[: height // 4, -width:].any()
    assert not changed[height // 4 :].any()
    assert not changed[:, width:-width].any()
    assert captioned[: height // 8, : width // 2].min(axis=-1).max() > 180  # white letters


def test_pictures_of_two_heights_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="height"):
        side_by_side(picture(0, 96, 128), picture(0, 98, 128))
    side_by_side(picture(0, 4, 4), picture(0, 4, 7), ("tiny", ""))
