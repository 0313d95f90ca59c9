"""Whatever networks do with what their modules return, replayed they give the same bits."""

from __future__ import annotations

from collections import namedtuple

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from model.replay.nets import Counted, assert_same, net, training, video


class Alone(nn.Module):
    """One network's way with its modules; ``first`` and ``second`` are frozen, ``head`` is trained."""

    def __init__(self):
        super().__init__()
        self.first, self.second = Counted(3, 4), Counted(4, 4)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Conv2d(4, 5, 1)


def in_place_after(self, x):
    low = self.first(x)
    deep = self.second(low)
    logits = self.head(deep)
    low.mul_(3)  # behind what is replayed
    return logits + low.mean()


def in_place_before(self, x):
    low = self.first(x)
    low += 1
    deep = self.second(low)
    low -= deep
    return self.head(low)


def in_place_through_a_view(self, x):
    low = self.first(x)
    total = torch.zeros_like(low)
    total[:, 1:].add_(low[:, :-1])
    del low
    return self.head(self.second(x.mean(1, keepdim=True).expand(-1, 4, -1, -1)) + total)


def in_place_in_a_module(self, x):
    low = self.first(x)
    self.relu(low)
    return self.head(self.second(low) + low)


def in_place_in_a_module_of_what_was_made(self, x):
    low = self.first(x) - 0.1
    return self.head(self.second(self.relu(low)) + low)


def twice(self, x):
    low = self.second(self.second(self.first(x)))
    return self.head(low + self.first(-x))


def reads(self, x):
    scale = float(self.first(x).abs().mean())
    return self.head(self.second(x[:, [0, 1, 2, 0]]) * scale)


def branches(self, x):
    low = self.first(x)
    return self.head(self.second(low) if low.mean() > x.mean() * 0.3 else low)


def keeps(self, x):
    self.last = self.first(x)
    return self.head(self.second(x[:, [0, 1, 2, 0]])) + self.last.mean()


def random_before(self, x):
    return self.head(self.second(F.dropout(self.first(x), 0.5)))


def tied(self, x):
    """What is trained comes in without its module being called."""
    low = F.conv2d(self.first(x), self.head.weight[:4])
    return self.head(self.second(low))


def tied_and_cut_off(self, x):
    low = F.conv2d(self.first(x), self.head.weight.detach()[:4])
    return self.head(self.second(low))


def judged_by_what_is_trained(self, x):
    low = self.first(x)
    return self.head(self.second(low * float(self.head.weight.data.mean())))


def changes_its_input(self, x):
    x.sub_(0.5)
    return self.head(self.second(self.first(x)))


def swallows(self, x):
    low = self.first(x)
    try:
        low = low + self.head(low)[:, :4]
    except BaseException:
        low = low + 1
    return self.head(self.second(low))


WAYS = {
    in_place_after: 2,
    in_place_before: 2,
    in_place_through_a_view: 2,
    in_place_in_a_module: 2,
    in_place_in_a_module_of_what_was_made: 2,
    twice: 2,
    reads: 2,
    branches: 2,
    keeps: 2,
    random_before: 1,
    tied: 1,
    tied_and_cut_off: 1,
    judged_by_what_is_trained: 1,
    changes_its_input: 2,
    swallows: 1,
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_whatever_a_network_does_between_modules(way):
    results = []
    for replayed in (False, True):
        network = net(["head"], of=type("Way", (Alone,), {"forward": way}))
        results.append(training(video(network, []), replayed=replayed))
    (theirs, _), (ours, replay) = results
    assert replay.declined is None
    assert replay.kept == 2
    assert_same(ours, theirs)
    calls = 2 if way is twice else 1
    resting = [module for module in (network.first, network.second) if module.runs <= 5 * calls + 1]
    assert len(resting) == WAYS[way]


Pair = namedtuple("Pair", ["deep", "more"])


class Many(nn.Module):
    """Returns containers; one tensor in two places."""

    def __init__(self):
        super().__init__()
        self.conv = Counted(4, 4)

    def forward(self, x, *, scale=1):
        y = self.conv(x) * scale
        return {"pair": Pair(y, [None, y, y.sin()]), "size": (x.shape[-1], "text", True)}


class Odd(nn.Module):
    """Returns something of its own, which nobody can look into."""

    def __init__(self):
        super().__init__()
        self.conv = Counted(4, 4)

    def forward(self, x, **_):
        class Result:
            pass

        result = Result()
        result.pair = Pair(self.conv(x), None)
        return result


class Turned(nn.Module):
    """Returns the batch where one would not look for it."""

    def __init__(self):
        super().__init__()
        self.conv = Counted(4, 4)

    def forward(self, x, **_):
        return Pair(self.conv(x).flatten(2).permute(2, 0, 1).contiguous(), None)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("kind", [Many, Odd, Turned])
def test_modules_that_return_more_than_a_tensor(kind, batch):
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.many, self.head = Counted(3, 4), kind(), nn.Conv2d(4, 5, 1)

        def forward(self, x):
            returned = self.many(self.stem(x), scale=2)
            pair = returned["pair"] if isinstance(returned, dict) else getattr(returned, "pair", returned)
            deep = pair.deep
            if deep.ndim == 3:
                deep = deep.permute(1, 2, 0).unflatten(2, x.shape[-2:])
            if pair.more is not None:
                assert pair.more[1] is deep
                assert returned["size"] == (x.shape[-1], "text", True)
                deep.add_(1)
                deep = deep + pair.more[1] + pair.more[2]
            return self.head(deep)

    results = []
    for replayed in (False, True):
        network = net(["head"], of=Outer)
        results.append(training(video(network, []), replayed=replayed, batch=batch))
    (theirs, _), (ours, replay) = results
    assert replay.declined is None
    assert replay.kept == 2 * batch
    assert network.many.conv.runs < 10
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own, other, rtol=0 if batch == 1 else 1e-3, atol=0 if batch == 1 else 1e-5)


def test_batch_norm_of_the_batch_is_no_frames_own():
    class Batch(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = Counted(3, 4)
            self.norm = nn.BatchNorm2d(4, track_running_stats=False)
            self.head = nn.Conv2d(4, 5, 1)

        def forward(self, x):
            return self.head(self.norm(self.first(x)))

    results = [training(video(net(["head"], of=Batch), []), replayed=replayed, batch=2) for replayed in (False, True)]
    assert results[1][1].declined is None
    for own, other in zip(results[1][0], results[0][0], strict=True):
        torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-5)
