"""PSPNet against its paper: sizes that it takes and gives, and its training."""

import re

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
    assert load_base("netwarp:pspnet101@0.01").classes == CITYSCAPES.names
    with torch.no_grad():
        assert base(base.preprocess(torch.rand(1, 3, 30, 48))).shape == (1, 2, 33, 49)


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


def test_arguments_that_make_no_sense():
    for blocks in ((1, 1, 1), (1, 1, 0, 1)):
        with pytest.raises(ConfigurationError, match=re.escape(str(blocks))):
            PSPNet(2, width=0.01, blocks=blocks)
