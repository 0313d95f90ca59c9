"""How representations follow the flow, on networks and clips where the answer is known."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from model.tiny import PLAIN, Pan, frozen_copy, hooks_on, same_state, tiny
from netwarp.errors import ConfigurationError, InputError
from netwarp.evaluation.layer_alignment import FURTHEST, Distance, measure_alignment, neighbours, representations
from netwarp.model import Preprocess
from netwarp.ops import warp
from netwarp.video.source import Frame, FrameSource

GENERATOR = torch.Generator().manual_seed(0)


def scene(h=48, w=200):
    """Smooth noise to pan over: texture everywhere, none of it finer than a few pixels."""
    rough = torch.rand(1, 3, h // 4 + 2, w // 4 + 2, generator=GENERATOR)
    return nn.functional.interpolate(rough, size=(h, w), mode="bicubic").clamp(0, 1).mul(255).round().to(torch.uint8)


def panned(shift, count=3, width=64):
    """Pairs of a camera that pans to the right: what is at x now was at x + shift in the frame before."""
    picture = scene()
    frames = [picture[..., 60 + shift * i : 60 + shift * i + width] for i in range(count + 1)]
    return [(later, earlier) for earlier, later in itertools.pairwise(frames)]


class Source(FrameSource):
    """Frames of these sizes, each numbered by its first pixel."""

    def __init__(self, sizes, length=None):
        self.sizes, self.length, self.read, self.closed = sizes, length, 0, False

    def __iter__(self):
        for index, size in enumerate(self.sizes):
            self.read += 1
            yield Frame(index, np.full((*size, 3), index % 256, np.uint8), index / 25)

    def close(self):
        self.closed = True


class TestDistance:
    def test_against_numpy_over_several_pairs(self):
        pairs = [torch.randn(2, 2, 3, 5, 6) * scale for scale in (1.0, 3.0)]
        distance = Distance()
        for current, other in pairs:
            distance.add(current, other)
        apart, variance = 0.0, 0.0
        for current, other in pairs:
            a, b = current.numpy().astype(float), other.numpy().astype(float)
            for sample, channel in itertools.product(range(2), range(3)):
                apart += np.mean((a - b)[sample, channel] ** 2)
                variance += np.var(a[sample, channel])
        assert distance.value() == pytest.approx(math.sqrt(apart / variance), rel=1e-6)

    def test_is_nan_of_what_is_the_same_everywhere(self):
        distance = Distance()
        distance.add(torch.full((1, 2, 3, 3), 0.7), torch.full((1, 2, 3, 3), 0.7))
        assert math.isnan(distance.value())


def test_representations_are_those_of_the_layers_and_leave_no_trace(pictures):
    net = tiny(inplace=True).train()
    before = frozen_copy(net)
    frame = pictures(1)[0]
    with representations(net, ["stem", "mid", "output", "log_probs"], PLAIN) as look:
        assert not net.training
        seen = look(frame)
    assert hooks_on(net) == 0
    assert net.training
    assert same_state(net, before)
    net.eval()
    with torch.no_grad():
        stem = net.stem(frame.float() / 255)
        logits = net(frame.float() / 255)
    assert list(seen) == ["stem", "mid", "output", "log_probs"]
    assert torch.equal(seen["stem"], stem)  # not as the activation in place left it
    assert torch.equal(seen["output"], logits)
    assert torch.equal(seen["log_probs"], logits.log_softmax(1))


def test_hooks_come_off_when_something_goes_wrong():
    net = tiny()
    with pytest.raises(RuntimeError, match="stop"), representations(net, ["mid"], PLAIN):
        raise RuntimeError("stop")
    assert hooks_on(net) == 0
    with pytest.raises(ConfigurationError, match="did you mean 'mid'"), representations(net, ["mud"], PLAIN):
        pass


class Strides(nn.Module):
    """Layers that follow the flow well, and not: pixel by pixel, coarse, and a pattern that stays on the screen."""

    def __init__(self):
        super().__init__()
        self.same = nn.Conv2d(3, 4, 1)
        self.coarse = nn.Conv2d(4, 4, 1, stride=4)
        self.blind = nn.Identity()
        self.head = nn.ConvTranspose2d(4, 3, 4, stride=4)

    def forward(self, x):
        y, columns = self.same(x), torch.arange(x.shape[-1]).cos()
        screen = self.blind(columns.expand_as(x[:, :1]) + 0.01 * x[:, :1])
        return self.head(self.coarse(y)) + 0 * screen


def test_a_pan_is_seen_in_every_layer_as_it_is():
    torch.manual_seed(0)
    net = Strides().eval()
    found, pairs = measure_alignment(net, ["same", "coarse", "blind"], panned(3), Pan(3.0), PLAIN)
    assert pairs == 3
    rows = {row.name: row for row in found}
    assert list(rows) == ["image", "same", "coarse", "blind"]
    # All but the last columns of the picture and of what is made pixel by pixel come back exactly.
    assert rows["image"].warped < 0.35 * rows["image"].unwarped
    assert rows["same"].warped < 0.35 * rows["same"].unwarped
    # 3 pixels are no whole cells of 4: part of it is lost to the grid.
    assert rows["same"].warped / rows["same"].unwarped < rows["coarse"].warped / rows["coarse"].unwarped < 1
    # What does not move with the picture is torn away by the flow.
    assert rows["blind"].unwarped < 0.05
    assert rows["blind"].warped > 0.5


def test_padding_of_the_network_is_warped_along():
    """A network that pads its frames sees more than the frame: flow is laid over all of it, and keeps its values."""
    torch.manual_seed(0)
    net, padded = Strides().eval(), Preprocess((0, 0, 0), (1, 1, 1), divisor=16)
    pairs = [(a[..., :46, :61], b[..., :46, :61]) for a, b in panned(4)]
    found, _ = measure_alignment(net, ["coarse", "output"], pairs, Pan(4.0), padded)
    assert [row.name for row in found] == ["image", "coarse", "output"]
    expected = Distance()
    with representations(net, ["coarse"], padded) as look:
        for current, previous in pairs:
            present, past = look(current)["coarse"], look(previous)["coarse"]
            expected.add(present, warp(past, torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 12, 16)))
    assert found[1].warped == pytest.approx(expected.value(), rel=1e-5)


def test_pairs_across_a_cut_do_not_count():
    torch.manual_seed(0)
    net = Strides().eval()
    good = panned(4, count=1)
    cut = (good[0][0], torch.roll(255 - good[0][0], (20, 31), (2, 3)))
    alone, _ = measure_alignment(net, ["coarse"], good, Pan(4.0), PLAIN)
    with_cut, pairs = measure_alignment(net, ["coarse"], [cut, *good, cut], Pan(4.0), PLAIN)
    assert with_cut == alone
    assert pairs == 1


@pytest.mark.parametrize("pairs", [[], [(scene(), torch.roll(255 - scene(), (20, 77), (2, 3)))]])
def test_no_pair_at_all(pairs):
    with pytest.raises(InputError, match="no two neighbouring frames"):
        measure_alignment(tiny(), ["mid"], pairs, "zero", PLAIN)


class TestNeighbours:
    def numbers(self, source, pairs):
        return [(int(a[0, 0, 0, 0]), int(b[0, 0, 0, 0])) for a, b in neighbours(source, pairs)]

    def test_are_spread_over_a_video_of_known_length(self):
        source = Source([(4, 6)] * 101, 101)
        assert self.numbers(source, 20) == [(i + 1, i) for i in range(0, 100, 5)]
        assert source.closed

    def test_follow_each_other_where_the_length_is_not_known(self):
        source = Source([(4, 6)] * 101)
        assert self.numbers(source, 3) == [(1, 0), (2, 1), (3, 2)]
        assert source.read == 4
        assert source.closed

    def test_of_a_long_video_the_rest_is_not_read(self):
        source = Source([(4, 6)] * 10_000, 10_000)
        assert self.numbers(source, 3) == [(1, 0), (FURTHEST + 1, FURTHEST), (2 * FURTHEST + 1, 2 * FURTHEST)]
        assert source.read == 2 * FURTHEST + 2

    @pytest.mark.parametrize("length", [None, 2, 3])
    def test_of_a_short_one_there_are_as_many_as_there_are(self, length):
        assert self.numbers(Source([(4, 6)] * 3, length), 20) == [(1, 0), (2, 1)]
        assert self.numbers(Source([(4, 6)], length), 20) == []

    def test_are_of_one_size(self):
        assert self.numbers(Source([(4, 6), (4, 6), (6, 4), (6, 4)]), 20) == [(1, 0), (3, 2)]
