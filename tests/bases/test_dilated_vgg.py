"""The dilated VGG networks against their papers: sizes, margins, where the answers lie."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from netwarp import VideoModel
from netwarp.bases import load_base, rebuild_base
from netwarp.bases.dilated_vgg import Dilation, PlayData
from netwarp.errors import NetWarpError
from netwarp.label_sets import CAMVID


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


def test_the_release_s_order_of_classes():
    base = load_base("netwarp:dilation8@0.01")
    assert base.classes[:3] == ("building", "tree", "sky")
    assert sorted(base.classes) == sorted(CAMVID.names)
    assert dict(zip(base.classes, base.palette, strict=True)) == dict(zip(CAMVID.names, CAMVID.palette, strict=True))


def test_too_few_levels():
    with pytest.raises(NetWarpError, match="not 4"):
        Dilation(3, levels=4)
