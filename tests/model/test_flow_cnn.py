"""FlowCNN as the paper describes it, and that of the authors' release, against their layers written out one by one."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from model.tiny import PLAIN, Pan, rough_flow, set_weights, tiny
from netwarp import VideoModel, load_base
from netwarp.errors import ConfigurationError
from netwarp.model import FlowCNN, Preprocess
from netwarp.ops import resize_flow
from ops.slow import slow_warp

EPSILON = 0.0001


def inputs(batch=2, h=12, w=20, dtype=torch.float32):
    return 5 * torch.randn(batch, 2, h, w, dtype=dtype), *torch.rand(2, batch, 3, h, w, dtype=dtype)


def shaken(cnn):
    """Every parameter away from zero, biases too."""
    with torch.no_grad():
        for parameter in cnn.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return cnn


def by_hand(weights, flow, current, previous):
    """Section 3.1 in single steps, from a ``state_dict``."""
    eleven = torch.cat([flow, current, previous, current - previous], 1)
    assert eleven.shape[1] == 11
    first = F.conv2d(eleven, weights["conv1.weight"], weights["conv1.bias"], padding=1).clamp(min=0)
    second = F.conv2d(first, weights["conv2.weight"], weights["conv2.bias"], padding=1).clamp(min=0)
    third = F.conv2d(second, weights["conv3.weight"], weights["conv3.bias"], padding=1).clamp(min=0)
    joined = torch.cat([flow, third], 1)
    return F.conv2d(joined, weights["conv4.weight"], weights["conv4.bias"], padding=1) + EPSILON


@settings(max_examples=30)
@given(st.integers(1, 200), st.integers(1, 20), st.sampled_from(["identity", "gaussian"]))
def test_equals_single_convolutions_also_in_strips_of_a_high_frame(height, width, start):
    cnn, (flow, current, previous) = shaken(FlowCNN(start=start)), inputs(2, height, width)
    with torch.no_grad():
        expected = by_hand(cnn.state_dict(), flow, current, previous)
        torch.testing.assert_close(cnn(flow, current, previous), expected, rtol=1e-5, atol=1e-5)
        assert (by_hand(cnn.state_dict(), flow, previous, current) - expected).abs().max() > 1e-3  # the order matters


def test_gradients_of_strips_are_those_of_the_whole():
    cnn, given_ = FlowCNN().double(), inputs(1, 140, 5, torch.float64)
    flow = given_[0].requires_grad_()
    weights = torch.randn(1, 2, 140, 5, dtype=torch.float64)
    (cnn(*given_) * weights).sum().backward()
    found = [flow.grad.clone(), *(p.grad.clone() for p in cnn.parameters())]
    flow.grad = None
    whole = {name: p.detach().clone().requires_grad_() for name, p in cnn.named_parameters()}
    (by_hand(whole, *given_) * weights).sum().backward()
    for ours, theirs in zip(found, (flow.grad, *(p.grad for p in whole.values())), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(("variant", "size"), [("paper", (32, 48)), ("release", (4, 6))])
def test_identity_start_hands_the_flow_on_nearly_unchanged(variant, size):
    flow = torch.tensor([16.0, -8.0]).view(1, 2, 1, 1).expand(1, 2, 32, 48)
    out = FlowCNN(variant)(flow, *torch.rand(2, 1, 3, 32, 48))
    torch.testing.assert_close(out, resize_flow(flow, size), rtol=0, atol=0.25)
    assert (out - resize_flow(flow, size)).abs().mean() < 0.1


@pytest.mark.parametrize(("variant", "deviations"), [("paper", [0.01] * 4), ("release", [0.1, 1, 1, 0.001])])
def test_gaussian_start_is_the_papers_and_the_releases(variant, deviations):
    drawn = [FlowCNN(variant, start="gaussian") for _ in range(60)]
    for number, deviation in enumerate(deviations, 1):
        weights = torch.stack([getattr(cnn, f"conv{number}").weight.detach() for cnn in drawn])
        assert abs(weights.mean()) < 0.15 * deviation
        assert weights.std().item() == pytest.approx(deviation, rel=0.15)
        assert not any(getattr(cnn, f"conv{number}").bias.any() for cnn in drawn)


@pytest.mark.parametrize(("stride", "size"), [(1, (13, 21)), (2, (7, 11)), (4, (4, 6)), (8, (2, 3)), (32, (1, 1))])
def test_stride_gives_the_size_and_the_units_of_its_own_grid(stride, size):
    cnn, (_, current, previous) = FlowCNN(stride=stride), inputs(h=13, w=21)
    with torch.no_grad():  # nothing but the identity
        for parameter in cnn.parameters():
            parameter.zero_()
        cnn.conv4.weight[0, 0, 1, 1] = cnn.conv4.weight[1, 1, 1, 1] = 1
    flow = torch.tensor([8.0, -4.0]).view(1, 2, 1, 1).repeat(2, 1, 13, 21)
    out = cnn(flow, current, previous)
    assert out.shape == (2, 2, *size)
    torch.testing.assert_close(out, flow[..., : size[0], : size[1]] / stride + EPSILON)


@pytest.mark.parametrize(
    ("layers", "stride", "offset"),
    [
        (["at_eighth"], 8, (0, 0)),
        (["at_quarter", "at_eighth"], 4, (0, 0)),
        (["at_eighth", "output"], 2, (0.5, 0.5)),
        (["output"], 2, (0.5, 0.5)),
    ],
)
def test_by_its_name_it_works_on_the_grid_of_the_finest_layer(layers, stride, offset):
    base = load_base("netwarp:streetnet")
    cnn = VideoModel(base, layers).flow_cnn
    assert (cnn.stride, cnn.offset) == (stride, offset)
    assert VideoModel(base, layers, flow_cnn="release").flow_cnn.stride == 8
    assert VideoModel(base, layers, flow_cnn=FlowCNN(stride=None)).flow_cnn.stride == stride
    assert VideoModel(base, layers, flow_cnn=FlowCNN()).flow_cnn.stride == 1
    assert VideoModel(base, layers, flow_cnn=FlowCNN(stride=2)).flow_cnn.offset is None


def test_without_a_model_no_stride_is_the_papers():
    cnn, (flow, current, previous) = FlowCNN(stride=None), inputs(h=12, w=20)
    assert cnn(flow, current, previous).shape == flow.shape


def test_stride_sees_frames_averaged_over_its_cells():
    cnn, (flow, current, previous) = FlowCNN(stride=4), inputs(h=12, w=20)
    pooled = (F.avg_pool2d(current, 4), F.avg_pool2d(previous, 4))
    expected = by_hand(cnn.state_dict(), resize_flow(flow, (3, 5)), *pooled)
    torch.testing.assert_close(cnn(flow, current, previous), expected, rtol=1e-5, atol=1e-5)


def test_float32_in_a_model_of_half_precision():
    cnn, given = FlowCNN(), inputs()
    cnn.half()
    rounded = {name: value.float() for name, value in cnn.state_dict().items()}
    out = cnn(*given)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, by_hand(rounded, *given), rtol=1e-5, atol=1e-5)


def test_a_large_flow_survives_convolutions_of_tf32(monkeypatch):
    """A GPU's, which round what they take to 10 bits; the sum of them is float32."""

    def tf32(x):
        return (x.view(torch.int32) + 0x1000).bitwise_and(~0x1FFF).view(torch.float32)

    def rounded(x, weight, *rest, **options):
        return convolve(tf32(x), tf32(weight), *rest, **options)

    convolve = F.conv2d
    torch.manual_seed(0)
    flow_cnn, frame = FlowCNN(), torch.rand(1, 3, 8, 8)
    flow = 200 + torch.rand(1, 2, 8, 8)
    with torch.no_grad():
        exact = flow_cnn(flow, frame, frame)
        monkeypatch.setattr(F, "conv2d", rounded)
        assert (flow_cnn(flow, frame, frame) - exact).abs().max() < 0.02


@pytest.mark.parametrize(("variant", "channels", "last"), [("paper", 11, 3), ("release", 8, 1)])
def test_sizes_of_the_convolutions(variant, channels, last):
    shapes = {name: tuple(p.shape) for name, p in FlowCNN(variant).named_parameters() if name.endswith("weight")}
    assert shapes == {
        "conv1.weight": (16, channels, 3, 3),
        "conv2.weight": (32, 16, 3, 3),
        "conv3.weight": (2, 32, 3, 3),
        "conv4.weight": (2, 4, last, last),
    }
    assert sum(p.numel() for name, p in FlowCNN(variant).named_parameters() if name.endswith("bias")) == 52


@pytest.mark.parametrize("variant", ["paper", "release"])
def test_float32_under_autocast_and_of_half_precision_frames(variant):
    cnn, given = shaken(FlowCNN(variant)), inputs()
    expected = cnn(*given)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(cnn(*given), expected)
    assert cnn(given[0], *(frame.half() for frame in given[1:])).dtype == torch.float32


@pytest.mark.parametrize(("variant", "size"), [("paper", (3, 4)), ("release", (9, 17))])
def test_gradients_equal_finite_differences_and_every_parameter_learns(variant, size):
    cnn = shaken(FlowCNN(variant)).double()
    given = [t.requires_grad_() for t in inputs(1, *size, torch.float64)]
    # Along random directions: each of the 1,224 numbers by itself takes a quarter of a minute.
    assert torch.autograd.gradcheck(cnn, given, fast_mode=variant == "release")
    cnn(*given).square().mean().backward()
    assert all(p.grad.any() for p in cnn.parameters())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"variant": "papr"}, "'paper'"),
        ({"start": "identiy"}, "'identity'"),
        ({"stride": 0}, "at least 1"),
        ({"stride": 1.5}, "whole number"),
        ({"stride": "2"}, "whole number"),
        ({"variant": "release", "stride": 4}, "leave its stride out"),
    ],
)
def test_options_that_make_no_sense(options, says):
    with pytest.raises(ConfigurationError, match=says):
        FlowCNN(**options)


def pooled(picture):
    """The largest value of each 8×8 cell, cell by cell; what is left at the border is a cell too."""
    height, width = picture.shape[-2:]
    rows = [
        torch.stack([picture[..., y : y + 8, x : x + 8].amax((-2, -1)) for x in range(0, width, 8)], dim=-1)
        for y in range(0, height, 8)
    ]
    return torch.stack(rows, dim=-2)


def release_by_hand(weights, flow, current, previous):
    flow, current, previous = pooled(flow), pooled(current), pooled(previous)
    eight = torch.cat([flow, current, slow_warp(previous, flow).to(flow.dtype)], 1)
    assert eight.shape[1] == 8
    first = F.conv2d(eight, weights["conv1.weight"], weights["conv1.bias"], padding=1).clamp(min=0)
    second = F.conv2d(first, weights["conv2.weight"], weights["conv2.bias"], padding=1).clamp(min=0)
    third = F.conv2d(second, weights["conv3.weight"], weights["conv3.bias"], padding=1)
    return F.conv2d(torch.cat([flow, third], 1), weights["conv4.weight"], weights["conv4.bias"])


@settings(max_examples=15)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["identity", "gaussian"]))
def test_equals_its_layers_one_by_one(height, width, start):
    cnn = shaken(FlowCNN("release", start=start))
    flow, (current, previous) = rough_flow(2, height, width), 255 * torch.rand(2, 2, 3, height, width) - 110
    with torch.no_grad():
        out = cnn(flow, current, previous)
        assert out.shape == (2, 2, math.ceil(height / 8), math.ceil(width / 8))
        torch.testing.assert_close(
            out, release_by_hand(cnn.state_dict(), flow, current, previous), rtol=1e-4, atol=1e-4
        )


CAFFE = Preprocess((103.939, 116.779, 123.68), (1.0, 1.0, 1.0), 255.0, "bgr", divisor=8, remainder=1)


@pytest.mark.parametrize("preprocess", [PLAIN, CAFFE, Preprocess(size=(24, 40))])
def test_a_video_model_shows_it_what_the_network_sees(preprocess):
    """Frames as they go into the network, and the flow on their grid; its own flow then warps maps of its size."""
    cnn, seen = shaken(FlowCNN("release")), []
    cnn.register_forward_hook(lambda _, inputs, output: seen.append((inputs, output)))
    model = VideoModel(tiny(), ["stem"], flow=Pan(3.0, -2.0), flow_cnn=cnn, preprocess=preprocess)
    set_weights(model)
    current, previous = torch.rand(2, 1, 3, 30, 44)
    with torch.no_grad():
        model(current, previous)
    ((flow, present, past), transformed) = seen[0]
    assert torch.equal(present, preprocess(current))
    assert torch.equal(past, preprocess(previous))
    resized, padded = preprocess.grid((30, 44))
    assert flow.shape == (1, 2, *padded)
    torch.testing.assert_close(flow[0, :, 0, 0], torch.tensor([3 * resized[1] / 44, -2 * resized[0] / 30]))
    assert transformed.shape[-2:] == tuple(math.ceil(n / 8) for n in padded)
