"""Channels last is the same network: its logits but for rounding, its weights to the last bit."""

import pytest
import torch

from netwarp import VideoModel, load_base
from netwarp.bases.spec import lay_channels_last

_SPECS = [
    "netwarp:espnet",
    "netwarp:enet",
    "netwarp:streetnet",
    "netwarp:dilation8@0.1",
    "netwarp:pspnet101@0.1",
    "torchvision:lraspp_mobilenet_v3_large",
]


@pytest.mark.parametrize("spec", _SPECS)
def test_it_is_the_same_network(spec):
    torch.manual_seed(0)
    base = load_base(spec)
    frame = torch.randint(0, 256, (1, 3, 48, 64), dtype=torch.uint8)
    single = VideoModel(base, [])
    with torch.no_grad():
        expected, _ = single.step(frame)
        before = {key: value.clone() for key, value in base.state_dict().items()}
        assert lay_channels_last(base) is base
        found, state = single.step(frame)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert state.answer.stride(1) == 1  # channels side by side, also where padding will be cut off
    after = base.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], value) for key, value in before.items())
