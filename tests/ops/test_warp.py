"""The warp against the paper's equation, exact cases, OpenCV and finite differences."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netwarp import NetWarpError
from netwarp.errors import InputError
from netwarp.ops import warp
from ops.slow import slow_warp

FORMATS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}


def constant(u, v, h, w, batch=1, dtype=torch.float32):
    return torch.tensor([u, v], dtype=dtype).view(1, 2, 1, 1).expand(batch, 2, h, w)


@given(
    st.integers(1, 2),
    st.integers(1, 4),
    st.integers(1, 7),
    st.integers(1, 7),
    st.sampled_from([0.3, 2, 500]),
    st.data(),
)
def test_equals_a_slow_loop_written_from_equation_2(batch, channels, h, w, reach, data):
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 10_000)))
    features = torch.randn(batch, channels, h, w, generator=generator)
    flow = torch.randn(batch, 2, h, w, generator=generator) * reach
    torch.testing.assert_close(warp(features, flow).double(), slow_warp(features, flow), rtol=1e-5, atol=1e-5)
    # In float64 nothing but the order of the sum is left to differ.
    exact = warp(features.double(), flow.double())
    torch.testing.assert_close(exact, slow_warp(features, flow.double()), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 1), (1, 2)])
def test_maps_one_pixel_wide_or_high(size):
    features, flow = torch.randn(2, 3, *size), 3 * torch.randn(2, 2, *size)
    torch.testing.assert_close(warp(features, flow).double(), slow_warp(features, flow), rtol=1e-5, atol=1e-6)


@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 8), st.integers(1, 8), st.sampled_from(list(FORMATS)))
def test_integer_flow_is_an_exact_shift(u, v, h, w, layout):
    features = torch.randn(2, 5, h, w, generator=torch.Generator().manual_seed(0))
    columns = (torch.arange(w) + u).clamp(0, w - 1)
    rows = (torch.arange(h) + v).clamp(0, h - 1)
    shifted = features[:, :, rows][..., columns]
    warped = warp(features.contiguous(memory_format=FORMATS[layout]), constant(u, v, h, w, batch=2))
    assert torch.equal(warped, shifted)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_zero_flow_is_the_identity(dtype):
    features = torch.randn(2, 3, 5, 7).to(dtype)
    assert torch.equal(warp(features, torch.zeros(2, 2, 5, 7)), features)


def test_an_integer_shift_stays_exact_far_from_the_origin():
    # Coordinates normalised to -1…1 and back, as grid_sample wants them, are off by then.
    features = torch.randn(1, 1, 2, 3001)
    warped = warp(features, constant(-1000, 0, 2, 3001))
    assert torch.equal(warped[..., 1000:], features[..., :-1000])


def test_backward_flow_to_the_right_brings_what_lies_to_the_right():
    features = torch.zeros(1, 1, 4, 6)
    features[0, 0, 1, 4] = 1  # previous frame: (x, y) = (4, 1)
    warped = warp(features, constant(3, -2, 4, 6))  # now at (1, 3), for (1, 3) + (3, -2) = (4, 1)
    assert warped[0, 0, 3, 1] == 1
    assert warped.sum() == 1


@pytest.mark.parametrize("far", [1e3, 1e9, 3e38, float("inf")])
def test_far_outside_gives_the_border(far):
    features = torch.randn(1, 2, 4, 5)
    assert torch.equal(warp(features, constant(far, -far, 4, 5)), features[:, :, :1, -1:].expand(1, 2, 4, 5))


def test_equals_opencv():
    rng = np.random.default_rng(0)
    h, w = 33, 47
    image = rng.standard_normal((h, w, 3)).astype(np.float32)
    # OpenCV looks its weights up in a table of 1/32 pixel: on multiples of that it has nothing to round.
    flow = rng.integers(-40 * 32, 40 * 32, (h, w, 2)).astype(np.float32) / 32
    x, y = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    theirs = cv2.remap(image, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    ours = warp(torch.from_numpy(image).permute(2, 0, 1)[None], torch.from_numpy(flow).permute(2, 0, 1)[None])
    np.testing.assert_allclose(ours[0].permute(1, 2, 0).numpy(), theirs, rtol=0, atol=2e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_the_float32_result_rounded_once(dtype):
    features, flow = torch.randn(2, 8, 9, 11).to(dtype), 5 * torch.randn(2, 2, 9, 11)
    warped = warp(features, flow)
    assert warped.dtype == dtype
    assert torch.equal(warped, warp(features.float(), flow).to(dtype))


def test_half_precision_features_do_not_round_coordinates():
    # In bfloat16, 300.5 is 300: half a pixel wrong.
    row = torch.arange(400.0).view(1, 1, 1, 400)
    warped = warp((row % 2).bfloat16(), constant(0.5, 0, 1, 400))
    assert torch.equal(warped[..., :-1], torch.full_like(warped[..., :-1], 0.5))


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_keeps_the_memory_format_and_the_values(layout, dtype):
    features, flow = torch.randn(2, 4, 5, 7).to(dtype), 3 * torch.randn(2, 2, 5, 7)
    warped = warp(features.contiguous(memory_format=FORMATS[layout]), flow)
    assert warped.is_contiguous(memory_format=FORMATS[layout])
    assert torch.equal(warped, warp(features, flow))


def test_tensors_that_are_views_or_share_memory():
    store = torch.randn(2, 10, 14, 8)
    features = store.permute(0, 3, 1, 2)[:, ::2, ::2, 1::2]
    flow = (3 * torch.randn(7, 5, 2)).permute(2, 1, 0).unsqueeze(0).expand(2, 2, 5, 7)
    assert torch.equal(warp(features, flow), warp(features.contiguous(), flow.contiguous()))
    one = torch.randn(1, 4, 1, 1).expand(2, 4, 5, 7)
    torch.testing.assert_close(warp(one, flow), one)


def test_inputs_are_left_as_they_were():
    features, flow = torch.randn(1, 3, 5, 7), torch.randn(1, 2, 5, 7)
    copies = features.clone(), flow.clone()
    warp(features, flow)
    assert torch.equal(features, copies[0])
    assert torch.equal(flow, copies[1])


@pytest.mark.parametrize("axis", [0, 1])
def test_nan_in_the_flow_gives_nan_there_only(axis):
    features, flow = torch.randn(2, 3, 4, 5), torch.randn(2, 2, 4, 5)
    clean = warp(features, flow)
    flow[1, axis, 2, 3] = float("nan")
    spoilt = warp(features, flow)
    assert spoilt[1, :, 2, 3].isnan().all()
    spoilt[1, :, 2, 3] = clean[1, :, 2, 3]
    assert torch.equal(spoilt, clean)


def test_a_flow_of_nothing_but_nan_reads_inside_the_map():
    assert warp(torch.randn(1, 2, 1, 1), torch.full((1, 2, 1, 1), float("nan"))).isnan().all()
    assert warp(torch.randn(3, 2, 40, 40), torch.full((3, 2, 40, 40), float("nan"))).isnan().all()


def test_gradients_equal_finite_differences():
    features = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    # Away from whole pixels and from the border, where the derivative jumps; some pixels lie outside.
    flow = torch.randint(-4, 5, (2, 2, 4, 5)) + 0.1 + 0.8 * torch.rand(2, 2, 4, 5, dtype=torch.float64)
    assert torch.autograd.gradcheck(warp, (features, flow.requires_grad_()))


def test_the_epsilon_of_the_paper_makes_the_flow_differentiable_at_whole_pixels():
    features = torch.randn(1, 2, 4, 5)
    flow = (constant(0, 0, 4, 5) + 1e-4).requires_grad_()
    warp(features, flow).sum().backward()
    right = (features[..., 1:] - features[..., :-1]).sum(1)
    # To the right neighbour, a share of 1e-4 from the row below.
    expected = right[:, :-1] * (1 - 1e-4) + right[:, 1:] * 1e-4
    torch.testing.assert_close(flow.grad[:, 0, :-1, :-1], expected, rtol=1e-3, atol=1e-5)


def test_gradients_sum_where_one_pixel_is_read_often():
    features = torch.randn(1, 1, 3, 4, requires_grad=True)
    warp(features, constant(100, 100, 3, 4)).sum().backward()
    expected = torch.zeros(1, 1, 3, 4)
    expected[..., -1, -1] = 12
    assert torch.equal(features.grad, expected)


@pytest.mark.parametrize(
    ("features", "flow", "says"),
    [
        ((1, 3, 4, 5), (1, 3, 4, 5), "flow must be"),
        ((1, 3, 4, 5), (2, 4, 5), "flow must be"),
        ((3, 4, 5), (1, 2, 4, 5), "features must be"),
        ((1, 3, 4, 5), (1, 2, 4, 6), "resize_flow"),
        ((2, 3, 4, 5), (1, 2, 4, 5), "does not fit"),
        ((1, 0, 4, 5), (1, 2, 4, 5), "empty"),
        ((0, 3, 4, 5), (0, 2, 4, 5), "empty"),
    ],
)
def test_shapes_that_do_not_fit(features, flow, says):
    with pytest.raises(InputError, match=says) as caught:
        warp(torch.zeros(features), torch.zeros(flow))
    assert "\n" not in str(caught.value)


def test_what_is_no_tensor():
    with pytest.raises(InputError, match="features must be a torch tensor, not ndarray"):
        warp(np.zeros((1, 3, 4, 5), np.float32), torch.zeros(1, 2, 4, 5))
    with pytest.raises(InputError, match="flow must be a torch tensor, not list"):
        warp(torch.zeros(1, 3, 4, 5), [[0.0]])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.complex64])
def test_dtypes_that_do_not_fit(dtype):
    with pytest.raises(NetWarpError, match="floating point"):
        warp(torch.zeros(1, 3, 4, 5, dtype=dtype), torch.zeros(1, 2, 4, 5))
    with pytest.raises(NetWarpError, match="floating point"):
        warp(torch.zeros(1, 3, 4, 5), torch.zeros(1, 2, 4, 5, dtype=dtype))
