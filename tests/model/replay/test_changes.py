"""What changes while a replay lasts is noticed."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import nn

from model.replay.nets import assert_same, frames, net, training, video
from model.tiny import frozen_copy, rough_flow, same_state, tiny
from netwarp.model.replay import Replay


def test_weights_are_loaded():
    network, other = net(["head"]), net(["head"])
    with torch.no_grad():
        other.stem.weight.mul_(2)
    frame = frames()[0]
    with Replay(network) as replay:
        first = network(frame)
        network.load_state_dict(copy.deepcopy(network.state_dict()))  # the same
        assert torch.equal(network(frame), first)
        runs = network.stem.runs
        network(frame)
        assert network.stem.runs == runs
        network.load_state_dict(other.state_dict())
        assert torch.equal(network(frame), other(frame))
        network.low[1].running_mean.add_(0.5)
        assert torch.equal(network(frame), copy.deepcopy(network)(frame))
        network.stem.weight.data = network.stem.weight.data + 1
        assert torch.equal(network(frame), copy.deepcopy(network)(frame))
        assert replay.frames == 1


def test_something_is_trained_that_was_frozen():
    network, frame = net(["head"]), frames()[0]
    with Replay(network) as replay:
        network(frame)
        network.deep.requires_grad_(True)
        network(frame).sum().backward()
        assert network.deep[0].weight.grad.any()
        with torch.no_grad():
            network.deep[0].weight.mul_(2)
        assert torch.equal(network(frame), copy.deepcopy(network)(frame))
        assert replay.frames == 2  # under either condition


def test_dropout_is_switched_on():
    network = tiny().requires_grad_(False)
    network.head.requires_grad_(True)
    network.drop.p = 0.9
    frame = frames()[0]
    with Replay(network) as replay:
        calm = network(frame)
        network.drop.train()
        torch.manual_seed(0)
        one, another = network(frame), network(frame)
        torch.manual_seed(0)
        assert torch.equal(network(frame), one)
        assert not torch.equal(one, another)
        assert not torch.equal(one, calm)
        network.drop.eval()
        assert torch.equal(network(frame), calm)
        assert replay.declined is None


def test_statistics_are_gathered_though_nothing_is_trained():
    network = net(["head"])
    network.deep[1].train()
    other = copy.deepcopy(network)
    with Replay(network) as replay:
        for frame in (*frames(), *frames()):
            assert torch.equal(network(frame), other(frame))
        assert replay.declined is None
        assert network.stem.runs < other.stem.runs
    assert same_state(network, frozen_copy(other))


def test_another_models_netwarps_on_the_same_network():
    network = net()
    results = []
    for replayed in (False, True):
        one, other = video(network, ["deep"]), video(network, ["low"])
        first, second, third = frames()
        with Replay(network) if replayed else torch.enable_grad() as replay:
            for _ in range(2):
                results.append(other(second, first))
                results.append(one(second, first))
                results.append(other(third, second))
        if replayed:
            assert replay.declined is None
        one.remove()
        other.remove()
    assert_same(results[:6], results[6:])


def test_another_autocast_is_another_frame():
    network, frame = net(["head"]), frames()[0]
    with torch.autocast("cpu", torch.bfloat16):
        coarse = network(frame)
    fine = network(frame)
    with Replay(network) as replay:
        for _ in range(2):
            assert torch.equal(network(frame), fine)
            with torch.autocast("cpu", torch.bfloat16):
                assert torch.equal(network(frame), coarse)
        assert replay.frames == 2


class Norm(nn.Module):
    """Somebody's own batch norm. Torch writes its statistics without counting the tensors' versions up."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("variance", torch.ones(4))

    def forward(self, x):
        return nn.functional.batch_norm(x, self.mean, self.variance, training=self.training)


def test_statistics_that_are_gathered_without_a_sign():
    network = net(["head"])
    network.low[1] = Norm().eval()
    frame = frames()[0]
    with Replay(network) as replay:
        for _ in range(3):
            before = network(frame)
            network.low[1].train()
            network(frame)
            network.low[1].eval()
            assert not torch.equal(network(frame), before)
            assert torch.equal(network(frame), copy.deepcopy(network)(frame))
        assert replay.declined is None


class Hidden(nn.Module):
    """Uses a trained layer that nobody knows it has."""

    def __init__(self, layer):
        super().__init__()
        self.layers = [layer]

    def forward(self, x):
        return x + torch.nn.functional.conv2d(x, self.layers[0].weight.mean(0).view(1, 4, 1, 1).repeat(4, 1, 1, 1))


class Hiding(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 1)
        self.hidden = Hidden(self.head)

    def forward(self, x):
        return self.head(self.hidden(self.stem(x)))


@pytest.mark.parametrize("options", [{}, {"checkpoint": True}, {"detach": True}], ids=str)
def test_what_is_trained_in_hiding(options):
    clip, flows = torch.stack(frames(), 1), torch.stack([rough_flow(1, 12, 16)] * 2, 1)
    results = []
    for replayed in (False, True):
        model = video(net(["head"], of=Hiding), ["log_probs"], memory="fused")
        call = partial(lambda model, *_: model.unroll(clip, flows, **options), model)
        results.append(training(model, replayed=replayed, call=call))
    (theirs, _), (ours, replay) = results
    assert replay.declined is None
    assert_same(ours, theirs)


def test_what_is_trained_and_goes_straight_into_what_is_frozen():
    class Cut(nn.Module):
        def forward(self, x):
            return 2 * x.detach()

    class Prompted(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.frozen, self.cut = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 1), Cut()
            self.prompt = nn.Parameter(torch.rand(1, 4, 1, 1))

        def forward(self, x):
            return self.frozen(self.stem(x) + self.cut(self.prompt)) + self.frozen(self.prompt)

    results = []
    for replayed in (False, True):
        network = net(of=Prompted)
        network.prompt.requires_grad_(True)
        results.append(training(video(network, []), replayed=replayed))
    (theirs, _), (ours, replay) = results
    assert replay.declined is None
    assert_same(ours, theirs)
