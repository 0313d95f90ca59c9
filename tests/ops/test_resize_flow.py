"""A flow on another grid, whose values change with its size; and frames that reflect beyond their edges."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netwarp.errors import InputError
from netwarp.ops import reflect, resize_flow
from ops.test_warp import constant

sizes = st.integers(1, 12)


@given(sizes, sizes, sizes, sizes)
def test_a_constant_flow_is_scaled_by_the_ratio_of_sizes(height, width, h, w):
    resized = resize_flow(constant(6.0, -4.0, height, width), (h, w))
    torch.testing.assert_close(resized, constant(6.0 * w / width, -4.0 * h / height, h, w))


def test_the_same_size_is_the_same_flow():
    flow = torch.randn(1, 2, 5, 7)
    assert resize_flow(flow, (5, 7)) is flow


@pytest.mark.parametrize("size", [(6, 8), (24, 32), (4, 40), (5, 7)])
def test_a_linear_field_keeps_what_it_says_about_the_picture(size):
    """A zoom moves each point by a share of its distance to the middle, whatever the grid that says so."""

    def zoom(h, w):
        x, y = (torch.arange(n) + 0.5 - n / 2 for n in (w, h))
        return torch.stack((0.1 * x.expand(h, w), 0.2 * y.unsqueeze(1).expand(h, w))).unsqueeze(0)

    resized = resize_flow(zoom(12, 16), size)
    # Beyond the outermost centres there is nothing to interpolate.
    border = [max(1, -(-n // m)) for n, m in zip(size, (12, 16), strict=True)]
    inner = (..., slice(border[0], -border[0]), slice(border[1], -border[1]))
    torch.testing.assert_close(resized[inner], zoom(*size)[inner], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [(17, 23), (48, 60), (12, 60), (6, 10), (31, 9)])
def test_equals_opencv_but_for_the_values_scale(size):
    flow = np.random.default_rng(0).standard_normal((24, 30, 2)).astype(np.float32)
    theirs = cv2.resize(flow, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    theirs *= np.float32([size[1] / 30, size[0] / 24])
    ours = resize_flow(torch.from_numpy(flow).permute(2, 0, 1)[None], size)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_shrinking_keeps_motion_boundaries_sharp():
    flow = torch.zeros(1, 2, 16, 32)
    flow[:, 0, :, 16:] = 8
    assert set(resize_flow(flow, (4, 8))[0, 0].unique().tolist()) == {0.0, 2.0}


def test_differentiable_in_the_flow():
    flow = torch.randn(1, 2, 4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: resize_flow(f, (3, 5)), flow)


FLOW = torch.zeros(1, 2, 4, 4)


@pytest.mark.parametrize(
    ("flow", "size", "says"),
    [
        *((FLOW, size, "positive") for size in [(0, 4), (4, 0), (-1, 4)]),
        *((FLOW, size, "height, width") for size in [3, None, (2, 2, 2)]),
        (torch.zeros(2, 4, 4), (2, 2), "flow must be"),
        (torch.zeros(1, 3, 4, 4), (2, 2), "flow must be"),
        (FLOW.int(), (2, 2), "flow must be"),
        (torch.zeros(1, 2, 0, 4), (2, 2), "flow must be"),
        (FLOW.numpy(), (2, 2), "flow must be"),
    ],
)
def test_what_is_no_flow_or_no_size(flow, size, says):
    with pytest.raises(InputError, match=says):
        resize_flow(flow, size)


@settings(max_examples=60)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 30))
def test_reflection_is_numpys(height, width, margin):
    image = torch.rand(2, 3, height, width)
    expected = np.pad(image.numpy(), ((0, 0), (0, 0), (margin, margin), (margin, margin)), mode="reflect")
    np.testing.assert_array_equal(reflect(image, margin).numpy(), expected)


def test_a_margin_of_nothing_copies_nothing():
    image = torch.rand(1, 2, 4, 5)
    assert reflect(image, 0) is image


def test_what_cannot_be_reflected():
    with pytest.raises(InputError, match=r"\[B,C,H,W\]"):
        reflect(torch.zeros(3, 4, 5), 1)
    with pytest.raises(InputError, match="0 pixels or more, not -1"):
        reflect(torch.zeros(1, 3, 4, 5), -1)
