"""Flow as colour: hue is direction, saturation is length."""

import colorsys

import numpy as np
import pytest

from netwarp.lab.flow_pictures import flow_colours, flow_wheel


def colour(u: float, v: float, limit: float = 1.0) -> np.ndarray:
    return flow_colours(np.array([[[u]], [[v]]]), limit)[0, 0]


@pytest.mark.parametrize("angle", range(0, 360, 30))
def test_hue_is_the_direction_and_saturation_the_length(angle: int) -> None:
    radians = np.radians(angle)
    for length in (0.25, 0.5, 1.0):
        expected = np.array(colorsys.hsv_to_rgb(angle / 360, length, 1)) * 255
        assert np.abs(colour(length * np.cos(radians), length * np.sin(radians)) - expected).max() <= 1


def test_rest_is_white_and_nothing_is_beyond_the_limit() -> None:
    assert colour(0, 0).tolist() == [255, 255, 255]
    assert colour(3, 0, 3).tolist() == colour(300, 0, 3).tolist()


def test_the_wheel_shows_each_flow_at_its_place() -> None:
    wheel = flow_wheel(101)
    assert np.abs(wheel[50, 75, :3].astype(int) - colour(0.5, 0)).max() <= 1
    assert np.abs(wheel[75, 50, :3].astype(int) - colour(0, 0.5)).max() <= 1
    assert (wheel[0, 0, 3], wheel[50, 50, 3]) == (0, 255)
