"""PSPNet against its paper and its public model: sizes, parameters, every block once more in numpy."""

from __future__ import annotations

import re

import caffe_reference
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from netwarp.bases import load_base
from netwarp.bases.pspnet import PSPNet
from netwarp.errors import ConfigurationError, InputError
from netwarp.label_sets import CITYSCAPES

SHALLOW = (1, 1, 1, 1)


def block(inputs, narrow, project):
    """Parameters of a bottleneck, by hand: three convolutions, a projection, scale and shift of each."""
    outputs = 4 * narrow
    count = inputs * narrow + 9 * narrow * narrow + narrow * outputs + 2 * (2 * narrow + outputs)
    return count + (inputs * outputs + 2 * outputs if project else 0)


def stage(inputs, narrow, blocks):
    return block(inputs, narrow, True) + (blocks - 1) * block(4 * narrow, narrow, False)


def test_number_of_parameters(on_meta):
    stem = 9 * (3 * 64 + 64 * 64 + 64 * 128) + 2 * (64 + 64 + 128)
    stages = stage(128, 64, 3) + stage(256, 128, 4) + stage(512, 256, 23) + stage(1024, 512, 3)
    head = 4 * (2048 * 512 + 2 * 512) + 9 * 4096 * 512 + 2 * 512 + 512 * 19 + 19
    assert sum(p.numel() for p in PSPNet(19).parameters()) == stem + stages + head == 65_707_475


def test_maps_of_the_papers_713_pixels():
    network = PSPNet(19, width=0.01).eval()
    seen = {}
    for name in ("conv1_3_3x3", "conv2_3", "conv3_4", "conv4_23", "conv5_3", "conv5_3_pool6_conv", "conv5_4", "conv6"):
        layer = network.get_submodule(name)
        layer.register_forward_hook(lambda _, __, out, name=name: seen.update({name: tuple(out.shape[2:])}))
    with torch.no_grad():
        assert network(torch.rand(1, 3, 713, 713)).shape == (1, 19, 713, 713)
    eighth = dict.fromkeys(("conv3_4", "conv4_23", "conv5_3", "conv5_4", "conv6"), (90, 90))
    assert seen == {"conv1_3_3x3": (357, 357), "conv2_3": (179, 179), **eighth, "conv5_3_pool6_conv": (6, 6)}


def alive(network, seed=0):
    """Random weights and statistics everywhere, that keep a signal's deviation."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data.normal_(0, (1 / module.weight[0].numel()) ** 0.5, generator=generator)
            if module.bias is not None:
                module.bias.data.normal_(0, 0.1, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(0, 0.2, generator=generator)
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return network.eval()


# 12×18 places divide by all bins, as 90×90 do; 9×6 do not.
@pytest.mark.parametrize("size", [(89, 137), (65, 41)])
def test_every_block_equals_its_evaluation_in_numpy(size):
    network = alive(PSPNet(5, width=1 / 64)).double()
    image = torch.randn(1, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = caffe_reference.pspnet(caffe_reference.blobs_of(network), image[0].numpy())
    seen = {}
    for name in set(expected) - {"conv6"}:
        network.get_submodule(name).register_forward_hook(
            lambda _, __, out, name=name: seen.update({name: out[0].clone()})
        )
    with torch.no_grad():
        seen["conv6"] = network(image)[0]
    assert len(expected) == 35
    for name, values in expected.items():
        assert values.std() > 1e-3, name
        np.testing.assert_allclose(seen[name].numpy(), values, rtol=0, atol=1e-9 * np.abs(values).max(), err_msg=name)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 9), st.integers(0, 9))
@example(0, 0)
@example(0, 9)
def test_logits_come_at_the_size_of_the_picture(rows, columns):
    network = PSPNet(2, width=0.01, blocks=SHALLOW).eval()
    size = (8 * rows + 1, 8 * columns + 1)
    seen = []
    network.conv5_4.register_forward_hook(lambda _, __, out: seen.append(out.shape[2:]))
    with torch.no_grad():
        assert network(torch.rand(1, 3, *size)).shape == (1, 2, *size)
    assert seen == [(rows + 1, columns + 1)]


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90))
@example(712, 713)
def test_other_sizes_are_refused(height, width):
    network = PSPNet(2, width=0.01, blocks=SHALLOW).eval()
    if height % 8 == width % 8 == 1:
        return
    with pytest.raises(InputError, match=f"not {width}×{height}: pad to") as caught:
        network(torch.rand(1, 3, height, width))
    padded = [int(n) for n in str(caught.value).rpartition("pad to ")[2].split("×")]
    assert [n % 8 for n in padded] == [1, 1]
    assert 0 <= padded[0] - width < 8
    assert 0 <= padded[1] - height < 8


def test_frames_of_any_size_are_padded_to_one_that_it_takes():
    base = load_base("netwarp:pspnet101@0.01", classes=2)
    assert base.classes == ("class 0", "class 1")
    with torch.no_grad():
        assert base(base.preprocess(torch.rand(1, 3, 30, 48))).shape == (1, 2, 33, 49)


def test_preprocessing_is_the_authors():
    rgb = torch.rand(1, 3, 9, 17, dtype=torch.float64)
    expected = rgb[0].flip(0).permute(1, 2, 0).numpy() * 255 - (103.939, 116.779, 123.68)
    base = load_base("netwarp:pspnet101@0.01")
    np.testing.assert_allclose(base.preprocess(rgb)[0].permute(1, 2, 0).numpy(), expected, atol=1e-12)
    assert base.classes == CITYSCAPES.names


def test_fresh_it_neither_dies_nor_explodes():
    network = PSPNet(4, width=1 / 16).eval()
    with torch.no_grad():
        logits = network(60 * torch.randn(1, 3, 65, 65))
    assert 1e-2 < logits.std() < 1e3


class TestTraining:
    def network(self):
        return PSPNet(2, width=0.02, blocks=SHALLOW).train()

    def test_one_image_has_no_statistics(self):
        with pytest.raises(InputError, match="batches of 2"):
            self.network()(torch.rand(1, 3, 17, 17))

    def test_two_have_and_one_with_frozen_batch_norms_needs_none(self):
        network = self.network()
        network(torch.rand(2, 3, 17, 17)).sum().backward()
        assert all(p.grad is not None for p in network.parameters())
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        network(torch.rand(1, 3, 17, 17)).sum().backward()

    def test_dropout_stands_before_the_classifier(self):
        network = PSPNet(2, width=0.5, dropout=0.5, blocks=SHALLOW).train()
        seen = {}
        network.conv5_4.register_forward_hook(lambda _, __, out: seen.update(out=out.clamp(min=0)))
        network.conv6.register_forward_hook(lambda _, inputs, __: seen.update(next=inputs[0]))
        with torch.no_grad():
            network(torch.rand(2, 3, 25, 25))
        on = seen["out"] > 0
        assert 0.4 < (seen["next"] == 0)[on].float().mean() < 0.6


def test_arguments_that_make_no_sense():
    with pytest.raises(ConfigurationError, match="not '2'"):
        PSPNet(2, width=2)
    for blocks in ((1, 1, 1), (1, 1, 0, 1)):
        with pytest.raises(ConfigurationError, match=re.escape(str(blocks))):
            PSPNet(2, width=0.01, blocks=blocks)
