"""Networks that cannot be replayed run as ever."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from model.replay.nets import assert_same, frames, net, training, video
from netwarp.model.replay import Replay


def compare(of, says, batch=1, trained=("head",)):
    results = []
    for replayed in (False, True):
        results.append(training(video(net(trained, of=of), []), replayed=replayed, batch=batch))
    (theirs, _), (ours, replay) = results
    assert says in replay.declined
    assert replay.kept == 0
    assert_same(ours, theirs)


def test_modules_that_talk_behind_the_back():
    class Side(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x):
            self.side = self.conv(x)
            return self.side * 2

    class Talking(nn.Module):
        def __init__(self):
            super().__init__()
            self.part, self.head = Side(), nn.Conv2d(4, 5, 1)

        def forward(self, x):
            return self.head(self.part(x)) + self.part.side.mean()

    compare(Talking, "returned something else")


def test_modules_that_look_at_the_batch():
    class Mean(nn.Module):
        def forward(self, x):
            return x - x.mean(0, keepdim=True)

    class Looking(nn.Module):
        def __init__(self):
            super().__init__()
            self.part, self.head = nn.Sequential(nn.Conv2d(3, 4, 1), Mean()), nn.Conv2d(4, 5, 1)

        def forward(self, x):
            return self.head(self.part(x))

    compare(Looking, "returned something else", batch=2)


@pytest.mark.parametrize("later", [[1, 0], [0]], ids=["other", "fewer"])
def test_a_network_that_takes_another_way(later):
    class Wandering(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleList(nn.Conv2d(3, 4, 1) for _ in range(2))
            self.head = nn.Conv2d(4, 5, 1)
            self.passes = 0

        def forward(self, x):
            self.passes += 1
            which = [0, 1] if self.passes < 12 else later
            made = [self.parts[i](x) for i in which]
            return self.head(made[0] - made[-1]) if len(made) > 1 else self.norm(x)

        def norm(self, x):
            return x.mean(1, keepdim=True).repeat(1, 5, 1, 1)

    network = net(["head"], of=Wandering)
    reference = copy.deepcopy(network)
    frame = frames()[0]
    with Replay(network) as replay:
        while network.passes < 11:
            network(frame)
            assert replay.declined is None
        reference.passes = 20
        assert torch.equal(network(frame), reference(frame))
        assert "another way" in replay.declined
        assert torch.equal(network(frame), reference(frame))


@pytest.mark.parametrize("anew", [True, False])
def test_a_network_that_changes_itself(anew):
    class Ageing(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("age", torch.zeros(()))
            self.part, self.head = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 1)

        def forward(self, x):
            if anew:
                self.age = self.age + 1
            else:
                self.age += 1
            return self.head(self.part(x) + self.age)

    compare(Ageing, "changes its own buffers")


@pytest.mark.parametrize("kind", ["forward", "before"])
def test_hooks_of_somebody_else(kind):
    network = net(["head"])
    seen = []
    register = "register_forward_hook" if kind == "forward" else "register_forward_pre_hook"
    handle = getattr(network.low[1], register)(lambda *_: seen.append(1))
    with Replay(network) as replay:
        for _ in range(3):
            network(frames()[0])
        assert seen == [1, 1, 1]
        assert replay.declined == "somebody has hooks on the network"
        handle.remove()
        network(frames()[0])
        assert replay.declined is None
        assert replay.frames == 1


@pytest.mark.filterwarnings("ignore:.torch.jit.trace:DeprecationWarning")
@pytest.mark.parametrize("how", ["scripted", "compiled", "compiled in place"])
def test_parts_that_nobody_can_step_into(how):
    network = net()
    if how == "scripted":
        network.deep = torch.jit.trace(network.deep, torch.rand(1, 4, 6, 8))
    elif how == "compiled":
        network.deep = torch.compile(network.deep, backend="eager")
    else:
        network.deep.compile(backend="eager")
    before = [set(vars(module)) for module in network.modules()]
    with Replay(network) as replay:
        assert replay.declined == "the network has compiled or scripted parts"
        assert [set(vars(module)) for module in network.modules()] == before
