"""Afterwards, and for everybody else, a network is as it was."""

from __future__ import annotations

import pytest
import torch

from model.replay.nets import Net, assert_same, frames, net, training, video
from model.tiny import frozen_copy, hooks_on, same_state
from netwarp.model.replay import Replay


def state(network):
    return [list(vars(module).items()) for module in network.modules()]


def test_afterwards():
    network = net(["head"])
    model = video(network, ["deep"])
    before, weights, hooks = state(network), frozen_copy(network), hooks_on(network)
    training(model, replayed=True, rounds=0)
    with Replay(network) as replay:
        model(*frames(2))
        assert list(network.state_dict()) == list(weights)
        assert hooks_on(network) == hooks
        assert replay.frames == 2
        assert replay.nbytes > 0
    for then, now in zip(before, state(network), strict=True):
        assert [key for key, _ in then] == [key for key, _ in now]
        assert all(a is b for (key, a), (_, b) in zip(then, now, strict=True) if key != "runs")
    assert same_state(network, weights)
    assert (replay.frames, replay.nbytes) == (0, 0)


def test_after_an_error():
    network = net()
    with pytest.raises(ZeroDivisionError), Replay(network):
        raise ZeroDivisionError(network(frames()[0]))
    assert not any("forward" in vars(module) for module in network.modules())


def test_after_an_error_of_the_network():
    class Failing(Net):
        def forward(self, x):
            if x.sum() < 0:
                raise ZeroDivisionError
            return super().forward(x)

    network = net(of=Failing)
    frame = frames()[0]
    plain = network(frame)
    with Replay(network) as replay:
        assert torch.equal(network(frame), plain)
        with pytest.raises(ZeroDivisionError):
            network(-frame)
        assert replay.declined == "it fails on a frame by itself: ZeroDivisionError"
        assert torch.equal(network(frame), plain)


def test_a_forward_of_its_own_is_put_back():
    network = net()
    own = network.deep.forward = lambda x: 2 * x
    plain = network(frames()[0])
    with Replay(network) as replay:
        for _ in range(2):
            assert torch.equal(network(frames()[0]), plain)
        assert replay.frames == 1
    assert vars(network.deep)["forward"] is own


def test_no_random_number_is_used_up():
    network = net(["head"])
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    with Replay(network):
        network(frames()[0])
    assert torch.equal(torch.rand(3), expected)


def test_statistics_that_are_trained_count_once():
    results = []
    for replayed in (False, True):
        model = video(net(["mix", "head"]), ["deep"])
        assert model.base.mix[1].training
        results.append(training(model, replayed=replayed)[0])
    assert_same(*results)
