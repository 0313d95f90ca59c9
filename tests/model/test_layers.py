"""A look into a network that leaves no trace."""

import pytest
import torch
from torch import nn

from model.tiny import PLAIN, hooks_on, tiny
from netwarp.errors import ConfigurationError
from netwarp.model import Preprocess
from netwarp.model.layers import place, probe


class Wrapped(nn.Module):
    """A network that does something odd on its way."""

    def __init__(self, forward):
        super().__init__()
        self.net = tiny()
        self.twice = nn.Conv2d(3, 3, 1)
        self.flat = nn.Flatten()
        self.unused = nn.Conv2d(3, 3, 1)
        self._do = forward

    def forward(self, x):
        return self._do(self, x)


def test_what_it_tells():
    seen = probe(tiny(), PLAIN, (32, 48))
    assert [(i.name, i.kind, i.channels, i.size, i.stride, i.calls) for i in seen.layers] == [
        ("stem", "Conv2d", 8, (16, 24), (2.0, 2.0), 1),
        ("act", "ReLU", 8, (16, 24), (2.0, 2.0), 1),
        ("norm", "BatchNorm2d", 8, (16, 24), (2.0, 2.0), 1),
        ("mid", "Conv2d", 6, (16, 24), (2.0, 2.0), 1),
        ("drop", "Dropout", 6, (16, 24), (2.0, 2.0), 1),
        ("head", "Conv2d", 5, (16, 24), (2.0, 2.0), 1),
    ]
    assert (seen.classes, seen.output.size, seen.frame) == (5, (16, 24), (32, 48))


def test_strides_are_in_pixels_of_the_frame():
    resized = probe(tiny(), Preprocess(size=(16, 16)), (32, 64)).layers[0]
    assert resized.size == (8, 8)
    assert resized.stride == (4.0, 8.0)
    padded = probe(tiny(), Preprocess(divisor=32), (33, 33)).layers[0]
    assert padded.size == (32, 32)
    assert padded.stride == (2.0, 2.0)


def test_a_network_that_draws_random_numbers_does_not_disturb_those_of_others():
    net = Wrapped(lambda self, x: self.net(x + 0.01 * torch.rand_like(x)))
    before = torch.get_rng_state()
    probe(net, PLAIN)
    assert torch.equal(torch.get_rng_state(), before)


def test_leaves_no_trace_when_the_network_fails():
    net = Wrapped(lambda self, x: self.net(x).nonsense).train()
    with pytest.raises(ConfigurationError, match="nonsense"):
        probe(net, PLAIN)
    assert hooks_on(net) == 0
    assert net.training


def test_tries_larger_frames_until_the_network_takes_one():
    def picky(self, x):
        if x.shape[-1] < 200:
            raise RuntimeError("too small\nby far")
        return self.net(x)

    assert probe(Wrapped(picky), PLAIN).frame == (256, 256)
    with pytest.raises(ConfigurationError, match=r"48×32: too small .*example_size") as caught:
        probe(Wrapped(picky), PLAIN, (32, 48))
    assert "\n" not in str(caught.value)


class TestPlacement:
    def test_in_the_order_in_which_they_run(self):
        places, seen = place(tiny(), ["output", "mid", "stem"], PLAIN)
        assert [(info.name, info.channels) for info in places] == [("stem", 8), ("mid", 6), ("output", 5)]
        assert seen.output.channels == 5

    def test_a_layer_inside_another_ends_first(self):
        net = Wrapped(lambda self, x: self.net(x))
        places, _ = place(net, ["net", "net.head", "net.stem"], PLAIN)
        assert [info.name for info in places] == ["net.stem", "net.head", "net"]

    def test_nothing_to_place(self):
        assert place(tiny(), [], PLAIN)[0] == []

    @pytest.mark.parametrize(
        ("layers", "says"),
        [
            ("net.stem", "must be a list"),
            (["net.stam"], "did you mean 'net.stem'"),
            (["net.stem", "net.stem"], "named twice"),
            (["output", "log_probs"], "the same place"),
            (["output", "output"], "the same place"),
            (["flat"], "returns no feature map"),
            (["unused"], "does not run"),
            (["twice"], "runs 2 times"),
            ([3], "must be a list of names"),
            ([""], "''"),
            (["zzzzzz"], "known: net"),
        ],
    )
    def test_what_cannot_hold_a_netwarp(self, layers, says):
        def odd(self, x):
            self.flat(x)
            return self.net(self.twice(self.twice(x)))

        net = Wrapped(odd)
        with pytest.raises(ConfigurationError, match=says):
            place(net, layers, PLAIN)
        assert hooks_on(net) == 0


@pytest.mark.parametrize("multiple", [2, 4, 8, 10, 14, 16, 24, 28, 32, 48, 64])
def test_the_multiple_that_a_network_needs_is_found(multiple):
    def picky(self, x):
        if x.shape[-1] % multiple or x.shape[-2] % multiple:
            raise RuntimeError("Sizes of tensors must match")
        return self.net(x)

    assert probe(Wrapped(picky), PLAIN).preprocess.divisor == multiple
    seen = probe(Wrapped(picky), PLAIN, (357, 481))
    assert (seen.preprocess.divisor, seen.frame) == (multiple, (357, 481))
    assert probe(Wrapped(picky), Preprocess(divisor=multiple)).preprocess == Preprocess(divisor=multiple)


def test_sides_of_one_more_than_a_multiple():
    def picky(self, x):
        assert x.shape[-1] % 8 == x.shape[-2] % 8 == 1
        return self.net(x)

    found = probe(Wrapped(picky), PLAIN, (357, 481)).preprocess
    assert (found.divisor, found.remainder) == (8, 1)


@pytest.mark.parametrize("size", [None, (97, 131)])
@pytest.mark.parametrize(
    "arrange",
    [
        lambda y: y.movedim(1, -1),
        lambda y: y.transpose(2, 3),
        lambda y: y.flatten(2),
        lambda y: y.flatten(2).mT,
        lambda y: y[0],
    ],
    ids=["channels last", "transposed", "flat", "flat, channels last", "no batch"],
)
def test_what_lies_otherwise_than_the_frame_is_refused(arrange, size):
    net = Wrapped(lambda self, x: arrange(self.net(x)))
    with pytest.raises(ConfigurationError, match=r"logits must be \["):
        probe(net, PLAIN, size)


def test_channels_last_of_the_only_size_that_a_network_takes():
    fixed = Preprocess(size=(64, 96))
    assert probe(Wrapped(lambda self, x: self.net(x)), fixed).classes == 5
    with pytest.raises(ConfigurationError, match=r"\[1, 32, 48, 5\]"):
        probe(Wrapped(lambda self, x: self.net(x).movedim(1, -1)), fixed)


def test_a_result_of_one_size_whatever_the_frames():
    net = Wrapped(lambda self, x: nn.functional.interpolate(self.net(x), (48, 48)))
    assert probe(net, PLAIN, (97, 131)).output.size == (48, 48)


def test_a_network_that_takes_any_size_is_not_padded():
    assert probe(tiny(), PLAIN).preprocess == PLAIN
