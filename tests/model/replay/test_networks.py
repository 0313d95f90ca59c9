"""Networks of other libraries, and ours: trained behind a frozen part, replayed or not, they give the same bits."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from bases.networks import NETWORKS, build
from model.tiny import Pan, frozen_copy, hooks_on, rough_flow, same_state, set_weights
from netwarp import VideoModel
from netwarp.model.replay import Replay

NAMES = (
    "netwarp:espnet",
    "netwarp:dilation8",
    "netwarp:pspnet101",
    "torchvision:lraspp_mobilenet_v3_large",
    "torchvision:deeplabv3_mobilenet_v3_large",
    "smp:Unet/mobilenet_v2",
    "hf:segformer",
    "hf:upernet",
    "hf:dpt",
)
PLACES = [(name, layer) for name in NAMES for layer in (*NETWORKS[name].layers, "log_probs")]


@cache
def network_of(name):
    """Built once: that nothing of a model or a replay stays in it is part of what is tested."""
    return build(name)


def gradients(model, current, previous, flow):
    model.zero_grad()
    torch.manual_seed(0)  # of dropout
    logits = model(current, previous, flow)
    logits.square().mean().backward()
    return [logits.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]


@pytest.mark.parametrize(("name", "layer"), PLACES, ids=[f"{n} at {p}" for n, p in PLACES])
def test_replayed_or_not(name, layer):
    network = network_of(name).requires_grad_(False)
    h, w = NETWORKS[name].size
    clip = torch.rand(3, 2, 3, h, w, generator=torch.Generator().manual_seed(0))
    flow = rough_flow(2, h, w)
    torch.manual_seed(0)
    model = VideoModel(network, [layer], flow=Pan(), flow_cnn=None, example_size=(h, w))
    set_weights(model)
    # Its last parameters are trained too, dropout and batch norm around them are left as they are.
    last = [m for m in network.modules() if any(True for _ in m.parameters(recurse=False))][-1]
    last.requires_grad_(True)
    hooks, state, attributes = hooks_on(network), frozen_copy(network), [set(vars(m)) for m in network.modules()]

    pairs = [(clip[1], clip[0]), (clip[2], clip[1])]
    theirs = [gradients(model, *(frame[:1] for frame in pair), flow[:1]) for pair in pairs]
    batches = [gradients(model, *pair, flow) for pair in pairs]
    with Replay(network) as replay:
        for _ in range(2):
            ours = [gradients(model, *(frame[:1] for frame in pair), flow[:1]) for pair in pairs]
            assert replay.declined is None
            assert replay.frames == 3
            for own, other in zip(ours, theirs, strict=True):
                assert len(own) == len(other) > 1
                assert all(map(torch.equal, own, other))
        ours = [gradients(model, *pair, flow) for pair in pairs]
        assert replay.declined is None
        assert replay.frames == 6
    for own, other in zip(ours, batches, strict=True):
        for tensor, expected in zip(own, other, strict=True):
            torch.testing.assert_close(tensor, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
    assert hooks_on(network) == hooks
    assert same_state(network, state)
    assert [set(vars(m)) for m in network.modules()] == attributes
