"""ESPNet against its paper, and against the public network's own logits."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from netwarp.bases import load_base
from netwarp.bases.espnet import ESPModule, ESPNet, StridedESPModule
from netwarp.errors import ConfigurationError

DATA = Path(__file__).parents[3] / "shared" / "data"
WEIGHTS = DATA / "espnet" / "espnet_p_2_q_8_camvid.pth"
needs_data = pytest.mark.skipif(not WEIGHTS.exists(), reason=f"the real data is not at {DATA}")


@needs_data
@pytest.mark.parametrize(("frame", "folder"), [("0016E5_07961", "val"), ("Seq05VD_f00000", "test")])
def test_logits_equal_those_of_the_public_network(frame, folder):
    base = load_base("netwarp:espnet", weights=WEIGHTS)
    (path,) = (DATA / "camvid" / folder).glob(f"{frame}*")
    rgb = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        logits = base(base.preprocess(rgb))
    golden = np.load(DATA / "espnet" / "golden_logits.npz")[frame]
    np.testing.assert_allclose(logits[0, :, ::4, ::4].numpy(), golden, atol=1e-3, rtol=0)
    assert base.classes[0] == "sky"
    assert base.classes[11] == "void"


def _parameters(network):
    return sum(p.numel() for p in network.parameters())


def test_parameter_counts_of_the_paper():
    # The abstract's 0.36 M parameters, for Cityscapes' 20 outputs.
    assert _parameters(ESPNet(classes=20)) == pytest.approx(0.36e6, rel=0.02)
    # A module's own, counted by hand: 128 channels over K = 5 branches are 4 of 25 and one of 28.
    module = 128 * 25 + 9 * 25 * 28 + 4 * 9 * 25 * 25 + 3 * 128
    assert _parameters(ESPModule(128, 128)) == module
    assert _parameters(ESPNet(q=8)) - _parameters(ESPNet(q=3)) == 5 * module


def _only_ones(convolution, channel=0):
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.weight[:, channel, 1, 1] = 1


def test_branches_are_fused_hierarchically():
    """Each branch gives a constant of its own; the concatenation then shows who was added to whom."""
    module = ESPModule(1, 10, residual=False).eval()
    nn.init.ones_(module.c1.conv.weight)
    for value, name in enumerate(("d1", "d2", "d4", "d8", "d16"), start=1):
        convolution = getattr(module, name).conv
        _only_ones(convolution)
        convolution.weight.data *= 10 ** (value - 1)
    merged = module.merge(torch.ones(1, 1, 40, 40))[0, :, 20, 20]
    assert merged.tolist() == [1, 1, 10, 10, 110, 110, 1110, 1110, 11110, 11110]


def test_effective_receptive_field_is_that_of_the_largest_dilation():
    """Section 3.1: K dilated branches see n = (3 - 1)·2^(K-1) + 1 = 33 pixels."""
    module = ESPModule(1, 5, residual=False)
    image = torch.zeros(1, 1, 81, 81, requires_grad=True)
    module.merge(image)[0, :, 40, 40].sum().backward()
    rows = image.grad[0, 0].abs().sum(1).nonzero()
    assert (rows.min().item(), rows.max().item()) == (24, 56)


def test_residual_adds_the_input():
    module = ESPModule(10, 10).double().eval()
    features = torch.randn(1, 10, 9, 7, dtype=torch.float64)
    torch.testing.assert_close(module(features), module.bn(features + module.merge(features)))
    with pytest.raises(ConfigurationError, match="10 to 15"):
        ESPModule(10, 15)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 33), st.integers(1, 33))
def test_strided_module_halves_rounding_up(height, width):
    assert StridedESPModule(3, 10).eval()(torch.zeros(1, 3, height, width)).shape == (
        1, 10, -(-height // 2), -(-width // 2),
    )  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70))
def test_logits_come_at_the_size_of_the_input(height, width):
    with torch.no_grad():
        assert ESPNet(classes=6, p=1, q=1).eval()(torch.rand(1, 3, height, width)).shape == (1, 6, height, width)


def test_odd_sizes_are_the_neighbouring_even_ones_away_from_the_cut():
    """Cropping the doubled maps must not shift them: far from the lower right border nothing changes."""
    network = ESPNet(p=0, q=0).eval()
    image = torch.rand(1, 3, 360, 360)
    with torch.no_grad():
        whole, cut = network(image), network(image[..., :355, :357])
    torch.testing.assert_close(cut[..., :48, :48], whole[..., :48, :48])


def test_too_few_classes_and_negative_depths():
    with pytest.raises(ConfigurationError, match="not 4"):
        ESPNet(classes=4)
    with pytest.raises(ConfigurationError, match="p=-1"):
        ESPNet(p=-1)
