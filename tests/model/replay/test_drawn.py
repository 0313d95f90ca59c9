"""Replayed or not, networks drawn at random give the same bits."""

from __future__ import annotations

import torch
from hypothesis import assume, given, settings

from model.replay.drawn import Drawn, programs
from netwarp.model.replay import Replay
from netwarp.model.video_model import rest_frozen

FRAMES = torch.rand(2, 1, 3, 5, 6, generator=torch.Generator().manual_seed(0))
seen = {"replayed": 0, "drawn": 0}


def trained(network, *, replayed):
    """Logits and gradients of three rounds over the frames."""
    results = []
    torch.manual_seed(1)
    with Replay(network) if replayed else torch.enable_grad() as replay:
        for _ in range(3):
            for frame in FRAMES:
                network.zero_grad()
                logits = network(frame)
                logits.square().mean().backward()
                results += [logits.detach(), *(p.grad.clone() for p in network.parameters() if p.grad is not None)]
        if replayed:
            assert replay.declined is None or replay.declined.startswith("nothing of it")
            seen["replayed"] += replay.declined is None
    results += [buffer.clone() for buffer in network.buffers()]
    return results


def build(program):
    torch.manual_seed(0)
    network = Drawn(program).train()
    rest_frozen(network)
    return network


@settings(max_examples=100)
@given(programs)
def test_the_same_bits(program):
    try:
        plain = trained(build(program), replayed=False)
    except RuntimeError:  # autograd refuses some changes in place
        assume(False)
    ours = trained(build(program), replayed=True)
    seen["drawn"] += 1
    assert len(ours) == len(plain)
    for own, theirs in zip(ours, plain, strict=True):
        assert torch.equal(own, theirs)


def test_most_of_them_were_replayed():
    assert seen["replayed"] > seen["drawn"] / 2
