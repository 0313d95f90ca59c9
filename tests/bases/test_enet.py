"""ENet against its paper, and against the public network's own logits."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from netwarp.bases import load_base
from netwarp.bases.enet import Bottleneck, DownBottleneck, ENet, UpBottleneck

DATA = Path(__file__).parents[3] / "shared" / "data"
WEIGHTS = DATA / "enet" / "enet_camvid.pth"
needs_data = pytest.mark.skipif(not WEIGHTS.exists(), reason=f"the real data is not at {DATA}")


@needs_data
@pytest.mark.parametrize(("frame", "folder"), [("0016E5_07961", "val"), ("Seq05VD_f00000", "test")])
def test_logits_equal_those_of_the_public_network(frame, folder):
    base = load_base("netwarp:enet", weights=WEIGHTS)
    (path,) = (DATA / "camvid" / folder).glob(f"{frame}*")
    # Resized in whole numbers, as the golden frames were: a maximum that moves by rounding moves logits by up to 10.
    rgb = cv2.resize(cv2.imread(str(path))[..., ::-1], (512, 512), interpolation=cv2.INTER_LINEAR)
    with torch.no_grad():
        logits = base(base.preprocess(torch.from_numpy(rgb).permute(2, 0, 1)[None] / 255))
    golden = np.load(DATA / "enet" / "golden_logits.npz")[frame]
    np.testing.assert_allclose(logits[0, :, ::4, ::4].numpy(), golden, atol=1e-4 * np.abs(golden).max(), rtol=0)
    assert base.classes[::11] == ("sky", "void")


def test_preprocessing_is_that_of_the_public_weights():
    rgb = torch.rand(1, 3, 36, 48)
    expected = F.interpolate(rgb, (512, 512), mode="bilinear")
    torch.testing.assert_close(load_base("netwarp:enet").preprocess(rgb), expected)


def test_parameters_of_the_paper():
    def count(network):
        return sum(p.numel() for p in network.parameters())

    assert count(ENet(classes=20)) == pytest.approx(0.37e6, rel=0.05)  # table 3
    plain = 128 * 32 + 9 * 32 * 32 + 32 + 32 * 128 + 2 * (32 + 32 + 128) + 3
    assert count(Bottleneck(128, dilation=16)) == plain
    assert count(Bottleneck(128, asymmetric=True)) == plain - 9 * 32 * 32 - 32 + 2 * 5 * 32 * 32


def test_values_go_back_to_where_the_maxima_were():
    """Of a branch that adds nothing: what is left is pooling, and its inverse."""
    down, up = DownBottleneck(16, 64).eval(), UpBottleneck(64, 16).eval()
    for norm in (down.batchnorm3, up.batchnorm3):
        torch.nn.init.zeros_(norm.weight)
    torch.nn.init.zeros_(up.main_conv.bias)
    up.main_conv.weight.data = torch.eye(16, 64)[:, :, None, None]
    features = torch.rand(2, 16, 7, 10)
    with torch.no_grad():
        pooled, indices = down(features)
        restored = up(pooled, indices, features.shape[-2:])
    assert not pooled[:, 16:].any()
    spread = pooled[:, :16].repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, :7]
    assert torch.equal(restored, torch.where(features == spread, features, 0))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70))
def test_logits_come_at_the_size_of_the_input(height, width):
    with torch.no_grad():
        assert ENet(classes=2).eval()(torch.rand(1, 3, height, width)).shape == (1, 2, height, width)
