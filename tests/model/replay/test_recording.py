"""What is recorded of a pass, and what is given for it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from netwarp.model.replay.recording import Diverged, Player, Recorder, Unfit
from netwarp.model.replay.settled import Settled

X = torch.rand(1, 4, 3, 3, generator=torch.Generator().manual_seed(0))


class Patched:
    """A network whose modules ask a recorder or a player, as in a replay."""

    def __init__(self, network):
        self.network, self.run = network, None
        self.settled = Settled(list(network.modules()))
        for module in network.modules():
            module.forward = self.asking(module, module.forward)

    def asking(self, module, forward):
        return lambda *args, **kwargs: self.run.call(module, forward, args, kwargs) if self.run else forward(*args)

    def record(self, frame=X):
        self.run = Recorder(self.settled)
        return self.run.record(self.network, type(self.network).forward.__get__(self.network), frame)

    def play(self, *recordings):
        self.run = Player(self.settled, recordings)
        return self.run.play(self.network, type(self.network).forward.__get__(self.network), X)


def one(forward, *parts):
    """A network of some parts whose first is frozen and whose last is trained."""
    network = type("One", (nn.Module,), {"forward": forward})()
    network.parts = nn.ModuleList(parts)
    network.requires_grad_(False)
    network.head = nn.Conv2d(4, 4, 1)
    return Patched(network)


def chain(network, x):
    for part in network.parts:
        x = part(x)
    return network.head(x)


def modules(recording):
    return [type(call.module).__name__ for call in recording.calls]


def kept(recording):
    return [[leaf for leaf in call.leaves if isinstance(leaf, torch.Tensor)] for call in recording.calls]


def test_what_runs_before_what_is_trained():
    patched = one(chain, nn.Conv2d(4, 4, 1), nn.Tanh())
    recording = patched.record()
    assert modules(recording) == ["Conv2d", "Tanh"]
    # What the convolution returned went into Tanh and nowhere else.
    assert [len(tensors) for tensors in kept(recording)] == [0, 1]
    assert recording.nbytes == X.nbytes


def test_what_nobody_looks_at_is_nan_of_the_same_form():
    seen = []

    def forward(network, x):
        y = network.parts[0](x.contiguous(memory_format=torch.channels_last))
        seen.append(y)
        seen.append(network.parts[1](y))
        del y
        while len(seen) > 1:
            seen.pop(0)
        return network.head(seen.pop())

    patched = one(forward, nn.Conv2d(4, 4, 1).to(memory_format=torch.channels_last), nn.Tanh())
    patched.network(X)
    recording = patched.record()
    blank = recording.calls[0].leaves[0].filled(3)
    plain = patched.network.parts[0]
    patched.run = None
    plain = plain(X.repeat(3, 1, 1, 1).contiguous(memory_format=torch.channels_last))
    assert blank.isnan().all()
    assert (blank.shape, blank.stride(), blank.dtype) == (plain.shape, plain.stride(), plain.dtype)


def test_nothing_is_recorded_that_comes_after_random_numbers():
    def forward(network, x):
        return network.head(network.parts[1](F.dropout(network.parts[0](x), 0.5)))

    assert modules(one(forward, nn.Conv2d(4, 4, 1), nn.Sequential(nn.Conv2d(4, 4, 1))).record()) == ["Conv2d"]


class Changing(nn.Module):
    def forward(self, x):
        x.mul_(2)
        return x + 1


class Viewing(nn.Module):
    def forward(self, x):
        return x[:, :2]


class Overlapping(nn.Module):
    def forward(self, x):
        y = x + 1
        return y, y[:, :2]


class Opaque(nn.Module):
    def forward(self, x):
        return {"this": x + 1, "that": object()}


class Flat(nn.Module):
    def forward(self, x):
        return (x + 1).flatten()


class Telling(nn.Module):
    def forward(self, x):
        return x.shape[-1]


class Owning(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 4, 1, 1))

    def forward(self, x):
        return self.weight


UNFIT = [Changing, Viewing, Overlapping, Opaque, Flat, Telling, Owning, nn.Identity, nn.Dropout]


@pytest.mark.parametrize("kind", UNFIT)
def test_what_cannot_be_kept(kind):
    patched = one(lambda network, x: network.head(x + bool(network.parts[0](1 * x))), kind())
    with pytest.raises(Unfit) as caught:
        patched.record()
    assert caught.value.module is patched.network.parts[0]


def test_one_way_is_not_another():
    recording = one(chain, nn.Conv2d(4, 4, 1), nn.Tanh()).record()
    for parts in ((nn.Conv2d(4, 4, 1), nn.Tanh()), ()):
        with pytest.raises(Diverged):
            one(chain, *parts).play(recording)


def test_one_tensor_in_two_places_is_one_tensor_again():
    class Twice(nn.Module):
        def forward(self, x):
            y = x + 1
            return y, [y]

    seen = []

    def forward(network, x):
        a, (b,) = network.parts[0](x)
        seen.append(a is b)
        return network.head(a + b)

    patched = one(forward, Twice())
    recording = patched.record()
    assert recording.nbytes == X.nbytes
    patched.play(recording)
    assert seen == [True, True]
