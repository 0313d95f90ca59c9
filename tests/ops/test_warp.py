"""The warp against the paper's equation, exact cases, OpenCV and finite differences."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from netwarp.errors import ConfigurationError, InputError
from netwarp.ops import warp
from netwarp.ops.reference import compute_dtype, memory_format
from ops.slow import SHARES, slow_warp
from ops.test_warp_combine import FORMATS, off_the_grid

LAST = torch.randn(2, 4, 6, 8).contiguous(memory_format=torch.channels_last)


def constant(u, v, h, w, batch=1, dtype=torch.float32):
    return torch.tensor([u, v], dtype=dtype).view(1, 2, 1, 1).expand(batch, 2, h, w)


@given(
    st.integers(1, 2),
    st.integers(1, 4),
    st.integers(1, 7),
    st.integers(1, 7),
    st.sampled_from([0.3, 2, 500]),
    st.sampled_from(list(SHARES)),
    st.data(),
)
def test_equals_a_slow_loop_written_from_equation_2(batch, channels, h, w, reach, how, data):
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 10_000)))
    features = torch.randn(batch, channels, h, w, generator=generator)
    flow = torch.randn(batch, 2, h, w, generator=generator) * reach
    warped = warp(features, flow, interpolation=how)
    torch.testing.assert_close(warped.double(), slow_warp(features, flow, how), rtol=1e-5, atol=1e-5)
    # In float64 nothing but the order of the sum is left to differ.
    exact = warp(features.double(), flow.double(), interpolation=how)
    torch.testing.assert_close(exact, slow_warp(features, flow.double(), how), rtol=1e-13, atol=1e-13)


@given(
    *(st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 8), st.integers(1, 8)),
    st.sampled_from(list(FORMATS)),
    st.sampled_from([torch.float64, torch.float32, torch.bfloat16, torch.float16]),
    st.sampled_from(list(SHARES)),
)
@example(0, 0, 5, 7, "contiguous", torch.bfloat16, "bilinear")
def test_integer_flow_is_an_exact_shift(u, v, h, w, layout, dtype, how):
    features = torch.randn(2, 5, h, w, generator=torch.Generator().manual_seed(0)).to(dtype)
    columns = (torch.arange(w) + u).clamp(0, w - 1)
    rows = (torch.arange(h) + v).clamp(0, h - 1)
    shifted = features[:, :, rows][..., columns]
    features = features.contiguous(memory_format=FORMATS[layout])
    warped = warp(features, constant(u, v, h, w, batch=2), interpolation=how)
    assert torch.equal(warped, shifted)


def test_an_integer_shift_stays_exact_far_from_the_origin():
    # Coordinates normalised to -1…1 and back, as grid_sample wants them, are off by then.
    features = torch.randn(1, 1, 2, 3001)
    warped = warp(features, constant(-1000, 0, 2, 3001))
    assert torch.equal(warped[..., 1000:], features[..., :-1000])


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


def test_half_precision_features_do_not_round_coordinates():
    # In bfloat16, 300.5 is 300: half a pixel wrong.
    row = torch.arange(400.0).view(1, 1, 1, 400)
    warped = warp((row % 2).bfloat16(), constant(0.5, 0, 1, 400))
    assert torch.equal(warped[..., :-1], torch.full_like(warped[..., :-1], 0.5))


def test_a_flow_of_nothing_but_nan_reads_inside_the_map():
    assert warp(torch.randn(1, 2, 1, 1), torch.full((1, 2, 1, 1), float("nan"))).isnan().all()
    assert warp(torch.randn(3, 2, 40, 40), torch.full((3, 2, 40, 40), float("nan"))).isnan().all()


def test_the_epsilon_of_the_paper_makes_the_flow_differentiable_at_whole_pixels():
    features = torch.randn(1, 2, 4, 5)
    flow = (constant(0, 0, 4, 5) + 1e-4).requires_grad_()
    warp(features, flow).sum().backward()
    right = (features[..., 1:] - features[..., :-1]).sum(1)
    # To the right neighbour, a share of 1e-4 from the row below.
    expected = right[:, :-1] * (1 - 1e-4) + right[:, 1:] * 1e-4
    torch.testing.assert_close(flow.grad[:, 0, :-1, :-1], expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("how", SHARES)
def test_gradients_equal_finite_differences(how):
    features = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    flow = off_the_grid(4 * torch.randn(2, 2, 4, 5, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda *given: warp(*given, interpolation=how), (features, flow))


@pytest.mark.parametrize(
    ("tensor", "is_last"),
    [
        (torch.zeros(2, 4, 6, 8), False),
        (torch.zeros(2, 4, 6, 8)[:, 1:3, ::2, 1:], False),
        (LAST, True),
        (LAST.bfloat16(), True),
        (LAST[:, :, 1:5, 2:7], True),
        (LAST[:, 1:3], True),
        (LAST[:, ::2], False),
        (LAST[:, :1], False),
        (torch.zeros(2, 4, 1, 1).contiguous(memory_format=torch.channels_last), False),
    ],
)
def test_a_result_has_the_format_that_a_tensor_is_nearer_to(tensor, is_last):
    form = torch.channels_last if is_last else torch.contiguous_format
    assert memory_format(tensor) is form
    for how in SHARES:
        warped = warp(tensor, torch.zeros(tensor.shape[0], 2, *tensor.shape[2:]), interpolation=how)
        assert torch.equal(warped, tensor)
        assert warped.is_contiguous(memory_format=form)


def test_sums_are_in_float32_or_better():
    single, double, half = (torch.zeros(1, dtype=dtype) for dtype in (torch.float32, torch.float64, torch.float16))
    assert compute_dtype(half, half) == compute_dtype(half, single) == compute_dtype(single, single) == torch.float32
    assert compute_dtype(single, double) == compute_dtype(double, single) == torch.float64


ODD = (torch.uint8, torch.int64, torch.complex64)
FEATURES, FLOW = torch.zeros(1, 3, 4, 5), torch.zeros(1, 2, 4, 5)


@pytest.mark.parametrize(
    ("features", "flow", "says"),
    [
        (FEATURES, torch.zeros(1, 3, 4, 5), "flow must be"),
        (FEATURES, torch.zeros(2, 4, 5), "flow must be"),
        (torch.zeros(3, 4, 5), FLOW, "features must be"),
        (FEATURES, torch.zeros(1, 2, 4, 6), "resize_flow"),
        (torch.zeros(2, 3, 4, 5), FLOW, "does not fit"),
        (torch.zeros(1, 0, 4, 5), FLOW, "empty"),
        (torch.zeros(0, 3, 4, 5), torch.zeros(0, 2, 4, 5), "empty"),
        (np.zeros((1, 3, 4, 5), np.float32), FLOW, "ndarray"),
        (FEATURES, [[0.0]], "list"),
        *((FEATURES.to(dtype), FLOW, "floating point") for dtype in ODD),
        *((FEATURES, FLOW.to(dtype), "floating point") for dtype in ODD),
    ],
)
def test_tensors_that_do_not_fit(features, flow, says):
    with pytest.raises(InputError, match=says) as caught:
        warp(features, flow)
    assert "\n" not in str(caught.value)


def test_an_unknown_interpolation():
    with pytest.raises(ConfigurationError, match="'cubic'"):
        warp(FEATURES, FLOW, interpolation="cubic")
