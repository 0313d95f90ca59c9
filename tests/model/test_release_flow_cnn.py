"""The FlowCNN of the authors' release, against its layers written out one by one (REFERENCE, part B)."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from model.tiny import PLAIN, Pan, rough_flow, set_weights, tiny
from netwarp import load
from netwarp.model import FlowCNN, Preprocess, VideoModel
from netwarp.ops import resize_flow
from ops.slow import slow_warp


def pooled(picture):
    """The largest value of each 8×8 cell, cell by cell; what is left at the border is a cell too."""
    height, width = picture.shape[-2:]
    rows = [
        torch.stack([picture[..., y : y + 8, x : x + 8].amax((-2, -1)) for x in range(0, width, 8)], dim=-1)
        for y in range(0, height, 8)
    ]
    return torch.stack(rows, dim=-2)


def by_hand(weights, flow, current, previous):
    flow, current, previous = pooled(flow), pooled(current), pooled(previous)
    eight = torch.cat([flow, current, slow_warp(previous, flow).to(flow.dtype)], 1)
    assert eight.shape[1] == 8
    first = F.conv2d(eight, weights["conv1.weight"], weights["conv1.bias"], padding=1).clamp(min=0)
    second = F.conv2d(first, weights["conv2.weight"], weights["conv2.bias"], padding=1).clamp(min=0)
    third = F.conv2d(second, weights["conv3.weight"], weights["conv3.bias"], padding=1)
    return F.conv2d(torch.cat([flow, third], 1), weights["conv4.weight"], weights["conv4.bias"])


def shaken(cnn):
    """Every parameter away from zero, biases too."""
    with torch.no_grad():
        for parameter in cnn.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return cnn


def test_layers():
    shapes = {name: tuple(p.shape) for name, p in FlowCNN("release").named_parameters() if name.endswith("weight")}
    assert shapes == {
        "conv1.weight": (16, 8, 3, 3),
        "conv2.weight": (32, 16, 3, 3),
        "conv3.weight": (2, 32, 3, 3),
        "conv4.weight": (2, 4, 1, 1),
    }


@settings(max_examples=15)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["identity", "gaussian"]))
def test_equals_its_layers_one_by_one(height, width, start):
    cnn = shaken(FlowCNN("release", start=start))
    flow, (current, previous) = rough_flow(2, height, width), 255 * torch.rand(2, 2, 3, height, width) - 110
    with torch.no_grad():
        out = cnn(flow, current, previous)
        assert out.shape == (2, 2, math.ceil(height / 8), math.ceil(width / 8))
        torch.testing.assert_close(out, by_hand(cnn.state_dict(), flow, current, previous), rtol=1e-4, atol=1e-4)


def test_713_becomes_90():
    sizes = {n: FlowCNN("release")(*(torch.zeros(1, c, n, n) for c in (2, 3, 3))).shape[-1] for n in (713, 41, 9)}
    assert sizes == {713: 90, 41: 6, 9: 2}


def test_identity_start_hands_on_the_flow_in_pixels_of_the_pooled_grid():
    flow = torch.tensor([16.0, -8.0]).view(1, 2, 1, 1).expand(1, 2, 32, 48)
    with torch.no_grad():
        out = FlowCNN("release")(flow, torch.rand(1, 3, 32, 48), torch.rand(1, 3, 32, 48))
    torch.testing.assert_close(out, resize_flow(flow, (4, 6)), rtol=0, atol=0.25)


def test_the_third_convolution_is_not_rectified_and_nothing_is_added():
    cnn = FlowCNN("release")
    with torch.no_grad():
        for parameter in cnn.parameters():
            parameter.zero_()
        cnn.conv3.bias.copy_(torch.tensor([-3.0, 2.0]))
        cnn.conv4.weight[0, 2, 0, 0] = cnn.conv4.weight[1, 3, 0, 0] = 1
        out = cnn(*(torch.zeros(1, c, 16, 16) for c in (2, 3, 3)))
    assert torch.equal(out, torch.tensor([-3.0, 2.0]).view(1, 2, 1, 1).expand(1, 2, 2, 2))


def test_gradients_equal_finite_differences():
    cnn = shaken(FlowCNN("release")).double()
    given_ = [t.double().requires_grad_() for t in (3 * torch.rand(1, 2, 9, 17), *torch.rand(2, 1, 3, 9, 17))]
    # Along random directions: each of the 1,224 numbers by itself takes a quarter of a minute.
    assert torch.autograd.gradcheck(cnn, given_, fast_mode=True)


def test_float32_under_autocast():
    cnn = shaken(FlowCNN("release"))
    given_ = (rough_flow(1, 16, 24), *torch.rand(2, 1, 3, 16, 24))
    expected = cnn(*given_)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(cnn(*given_), expected)


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


def test_saved_and_loaded(tmp_path):
    model = VideoModel(tiny(), ["mid"], flow="dis", flow_cnn=shaken(FlowCNN("release")))
    set_weights(model)
    model.save(tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors", base=tiny(seed=1))
    assert again.flow_cnn.variant == "release"
    frames = torch.rand(2, 1, 3, 32, 48)
    with torch.no_grad():
        assert torch.equal(again(*frames, flow=rough_flow(1, 32, 48)), model(*frames, flow=rough_flow(1, 32, 48)))
