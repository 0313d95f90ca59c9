"""The dilated VGG networks against their papers: sizes, parameters, and every layer once more in numpy."""

from __future__ import annotations

import caffe_reference
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from netwarp import VideoModel
from netwarp.bases import load_base, rebuild_base
from netwarp.bases.dilated_vgg import Dilation, PlayData
from netwarp.errors import ConfigurationError, NetWarpError
from netwarp.label_sets import CAMVID

# Side, inputs, outputs of every convolution of VGG-16's front-end, by hand.
VGG = [
    (3, 3, 64), (3, 64, 64), (3, 64, 128), (3, 128, 128), (3, 128, 256), (3, 256, 256), (3, 256, 256),
    (3, 256, 512), *[(3, 512, 512)] * 5, (7, 512, 4096), (1, 4096, 4096),
]  # fmt: skip


def counted(rows):
    return sum(side * side * inputs * outputs + outputs for side, inputs, outputs in rows)


def parameters(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("build", "by_hand"),
    [
        (lambda: PlayData(11), 134_305_611),  # the paper's 134 million
        (lambda: PlayData(5), counted([*VGG, (1, 4096, 5)])),
        (lambda: Dilation(11), counted([*VGG, (1, 4096, 11), *[(3, 11, 11)] * 7, (1, 11, 11)])),
        (lambda: Dilation(19, levels=10), counted([*VGG, (1, 4096, 19), *[(3, 19, 19)] * 9, (1, 19, 19)])),
    ],
)
def test_numbers_of_parameters(on_meta, build, by_hand):
    assert parameters(build()) == by_hand


def alive(network, seed=0):
    """Random weights in every layer, biases and context module too, that keep a signal's deviation."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_in = module.weight[0].numel()
            module.weight.data.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
            module.bias.data.normal_(0, 0.1, generator=generator)
    return network.eval()


NETWORKS = {
    "playdata": (lambda: PlayData(5, width=1 / 64), caffe_reference.playdata, "fc8"),
    "dilation8": (
        lambda: Dilation(5, width=1 / 64),
        lambda blobs, image: caffe_reference.dilation(blobs, image, 16),
        "ctx_final",
    ),
    "dilation10": (
        lambda: Dilation(5, width=1 / 64, levels=10),
        lambda blobs, image: caffe_reference.dilation(blobs, image, 64),
        "ctx_final",
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [(48, 80), (37, 61)])
def test_every_layer_equals_its_evaluation_in_numpy(name, size):
    build, reference, last = NETWORKS[name]
    network = alive(build()).double()
    image = torch.randn(1, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    seen = {}
    for path, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _, __, output, path=path: seen.update({path: output[0].numpy()}))
    with torch.no_grad():
        logits = network(image)[0].numpy()
    expected = reference(caffe_reference.blobs_of(network), image[0].numpy())
    assert set(seen) == set(expected)
    for path, values in expected.items():
        assert values.std() > 1e-3, path
        np.testing.assert_allclose(seen[path], values, rtol=0, atol=1e-9 * np.abs(values).max(), err_msg=path)
    np.testing.assert_array_equal(logits, seen[last])


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([PlayData, Dilation]))
@example(1, 1, PlayData)
@example(8, 16, Dilation)
def test_logits_are_an_eighth_of_the_picture_rounded_up(height, width, kind):
    network = kind(2, width=0.01).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 3, height, width)).shape == (1, 2, -(-height // 8), -(-width // 8))


@pytest.mark.parametrize(("name", "boundary"), [("playdata", 20), ("dilation8", 20), ("dilation10", 24)])
def test_where_the_answers_lie(name, boundary, monkeypatch):
    """Halfway between the places of pixels 16 and 24, and not of the cells 16 to 24 and 24 to 32."""
    base = load_base(f"netwarp:{name}@0.01")
    for network in (base, rebuild_base(base.source)):
        answer = torch.zeros(1, len(base.classes), 6, 6)
        answer[:, 1, :, :3] = answer[:, 2, :, 3:] = 9
        monkeypatch.setattr(network, "forward", lambda image, answer=answer: answer)
        logits, _ = VideoModel(network, []).step(torch.rand(1, 3, 41, 48))
        labels = logits.argmax(1)[0]
        assert labels.shape == (41, 48)
        assert (labels[:, :boundary] == 1).all()
        assert (labels[:, boundary + 1 :] == 2).all()


def test_margins_are_what_the_layers_maps_have_beyond_the_picture():
    """By the maps' sizes: a map of side n at stride s covers n·s pixels, the picture's and the margins'."""
    network = Dilation(2, width=0.01).eval()
    sides, strides = {}, {"1": 1, "2": 2, "3": 4}
    for path, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _, __, out, path=path: sides.update({path: out.shape[-1]}))
    with torch.no_grad():
        network(torch.zeros(1, 3, 64, 64))
    slow = {}
    for path, side in sides.items():
        stride = strides.get(path[4], 8) if path.startswith("conv") else 8
        slow[path] = (side * stride - 64) / 2
    assert {path: margin for path, margin in slow.items() if margin} == network.margins
    assert load_base("netwarp:dilation8@0.01").margins == network.margins
    assert network.margins == {
        "conv1_1": 185, "conv1_2": 184, "conv2_1": 182, "conv2_2": 180, "conv3_1": 176, "conv3_2": 172, "conv3_3": 168,
        "conv4_1": 160, "conv4_2": 152, "conv4_3": 144, "conv5_1": 128, "conv5_2": 112, "conv5_3": 96,
    }  # fmt: skip


def test_the_context_module_starts_at_the_identity():
    network = Dilation(5, width=0.02, levels=10).eval()
    seen = {}
    network.final.register_forward_hook(lambda _, __, output: seen.update(final=output))
    with torch.no_grad():
        logits = network(60 * torch.randn(1, 3, 40, 40, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(logits, seen["final"].clamp(min=0))
    assert logits.std() > 1e-2


def test_dropout_is_in_training_alone_and_leaves_layers_whole():
    network = PlayData(2, width=0.02, dropout=0.5)
    kept = {}
    network.fc7.register_forward_hook(lambda _, __, output: kept.update(fc7=output))
    network.fc8.register_forward_hook(lambda _, inputs, __: kept.update(dropped=inputs[0]))
    image = 60 * torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.train()(image)
    on = kept["fc7"] > 0
    assert 0.3 < (kept["dropped"] == 0)[on].float().mean() < 0.7
    with torch.no_grad():
        network.eval()(image)
    assert torch.equal(kept["dropped"], kept["fc7"])
    with torch.no_grad():
        PlayData(2, width=0.02, dropout=0).train()(image)


def test_the_release_s_order_of_classes():
    base = load_base("netwarp:dilation8@0.01")
    assert base.classes[:3] == ("building", "tree", "sky")
    assert sorted(base.classes) == sorted(CAMVID.names)
    assert dict(zip(base.classes, base.palette, strict=True)) == dict(zip(CAMVID.names, CAMVID.palette, strict=True))


@pytest.mark.parametrize(
    ("spec", "mean"),
    [
        ("playdata", (110.70, 108.77, 105.41)),
        ("dilation8", (110.70, 108.77, 105.41)),
        ("dilation10", (72.39, 82.91, 73.16)),
    ],
)
def test_preprocessing_is_the_authors(spec, mean):
    rgb = torch.rand(1, 3, 12, 16, dtype=torch.float64)
    expected = rgb[0].flip(0).permute(1, 2, 0).numpy() * 255 - mean
    prepared = load_base(f"netwarp:{spec}@0.01").preprocess(rgb)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(prepared, np.pad(expected, ((0, 4), (0, 0), (0, 0)), mode="edge"), atol=1e-12)


@pytest.mark.parametrize("width", [0, -0.5, 1.5, float("nan")])
def test_widths_that_make_no_sense(width):
    for kind in (PlayData, Dilation):
        with pytest.raises(ConfigurationError, match=str(width)):
            kind(3, width=width)


def test_too_few_levels():
    with pytest.raises(NetWarpError, match="not 4"):
        Dilation(3, levels=4)
