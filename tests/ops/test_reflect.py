"""Reflection against numpy and OpenCV, and the motion in a mirror against a video that was reflected."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netwarp.errors import InputError
from netwarp.ops import reflect, reflect_flow, warp


@settings(max_examples=60)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 30))
def test_reflection_is_numpys(height, width, margin):
    image = torch.rand(2, 3, height, width)
    expected = np.pad(image.numpy(), ((0, 0), (0, 0), (margin, margin), (margin, margin)), mode="reflect")
    np.testing.assert_array_equal(reflect(image, margin).numpy(), expected)


def test_reflection_is_opencvs():
    image = np.random.default_rng(0).random((20, 31), dtype=np.float32)
    expected = cv2.copyMakeBorder(image, 186, 186, 186, 186, cv2.BORDER_REFLECT_101)
    np.testing.assert_array_equal(reflect(torch.from_numpy(image)[None, None], 186)[0, 0].numpy(), expected)


def test_a_margin_of_nothing_copies_nothing():
    image = torch.rand(1, 2, 4, 5)
    assert reflect(image, 0) is image
    assert reflect_flow(image, 0) is image


@settings(max_examples=30)
@given(st.integers(2, 9), st.integers(2, 9), st.integers(0, 25))
def test_motion_is_mirrored_an_even_or_odd_number_of_times(height, width, margin):
    """Slowly: walk outward from the frame and turn round at every border."""
    flow = torch.rand(1, 2, height, width)
    reflected = reflect_flow(flow, margin)

    def walk(place, length):
        sign = 1
        while not 0 <= place < length:
            place, sign = (-place if place < 0 else 2 * (length - 1) - place), -sign
        return place, sign

    for row in range(-margin, height + margin):
        for column in range(-margin, width + margin):
            y, down = walk(row, height)
            x, right = walk(column, width)
            seen = reflected[0, :, row + margin, column + margin]
            assert seen.tolist() == [right * flow[0, 0, y, x], down * flow[0, 1, y, x]]


@pytest.mark.parametrize("motion", [(3, 0), (0, -2), (2, 1)])
def test_a_reflected_flow_moves_the_reflected_picture(motion):
    """A pan, reflected: the reflected flow brings the past's reflection onto the present's, but for the seam."""
    u, v = motion
    scene = torch.rand(1, 1, 60, 80)
    # Backward flow (u, v): the present at (x, y) was at (x+u, y+v).
    past = scene[..., 10:50, 10:70]
    present = scene[..., 10 + v : 50 + v, 10 + u : 70 + u]
    flow = torch.tensor([u, v]).float().view(1, 2, 1, 1).expand(1, 2, 40, 60)
    margin = 12
    brought = warp(reflect(past, margin), reflect_flow(flow, margin))
    expected = reflect(present, margin)
    # Left alone: what the pan uncovers at the frame's border, its reflection, and the map's own border.
    for rows in (slice(3, margin - 3), slice(margin + 3, margin + 37)):
        for columns in (slice(3, margin - 3), slice(margin + 3, margin + 57)):
            torch.testing.assert_close(brought[..., rows, columns], expected[..., rows, columns])


def test_what_cannot_be_reflected():
    with pytest.raises(InputError, match=r"\[B,C,H,W\]"):
        reflect(torch.zeros(3, 4, 5), 1)
    with pytest.raises(InputError, match="0 pixels or more, not -1"):
        reflect(torch.zeros(1, 3, 4, 5), -1)
    with pytest.raises(InputError, match=r"a flow must be \[B,2,H,W\]"):
        reflect_flow(torch.zeros(1, 3, 4, 5), 1)
