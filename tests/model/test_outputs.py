"""What networks and their layers return, in every form, and hooks that act only where and when they are asked to."""

import re
from collections import OrderedDict, namedtuple
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from model.tiny import tiny
from netwarp.errors import ConfigurationError
from netwarp.model.answer import logits_of
from netwarp.model.outputs import (
    Hooks,
    StopPass,
    output_grid,
    representation_of,
    to_frame_size,
    with_representation,
)
from netwarp.model.task import Task
from netwarp.ops import Grid

LOGITS = torch.randn(1, 5, 4, 6)
Pair = namedtuple("Pair", ["features", "extra"])


class MappingWithAttribute(OrderedDict):
    """Like Hugging Face's ModelOutput: a mapping whose items are attributes too."""

    @property
    def logits(self):
        return self["logits"]


@pytest.mark.parametrize(
    "output",
    [
        LOGITS,
        {"out": LOGITS, "aux": LOGITS + 1},
        OrderedDict(aux=LOGITS + 1, out=LOGITS),
        SimpleNamespace(logits=LOGITS, loss=None),
        MappingWithAttribute(logits=LOGITS, hidden_states=None),
        (LOGITS, LOGITS + 1),
        [LOGITS],
        ({"out": LOGITS}, None),
        {"masks": LOGITS},
    ],
)
def test_logits_are_found(output):
    assert logits_of(output) is LOGITS


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (None, "NoneType"),
        ([], "list"),
        ((None, LOGITS), "tuple"),
        ({"masks": LOGITS, "edges": LOGITS}, "dict with masks, edges"),
        ({"out": None}, "dict"),
        (SimpleNamespace(logits="no"), "SimpleNamespace"),
        (LOGITS[0, 0], r"\[4, 6\]"),
        (LOGITS.argmax(1, keepdim=True), r"int64 \[\d, 1, 4, 6\].*argmax"),
        (LOGITS.argmax(1), r"int64 \[\d, 4, 6\].*argmax"),
    ],
)
def test_anything_else_is_refused_in_one_line(output, says):
    with pytest.raises(ConfigurationError, match=says):
        logits_of(output)


@pytest.mark.parametrize("output", [LOGITS, (LOGITS, 1), [LOGITS, None], Pair(LOGITS, "x")])
def test_a_representation_is_found_and_exchanged_in_the_same_form(output):
    assert representation_of(output) is LOGITS
    other = LOGITS + 1
    exchanged = with_representation(output, other)
    assert type(exchanged) is type(output)
    assert representation_of(exchanged) is other
    if not isinstance(output, torch.Tensor):
        assert list(exchanged[1:]) == list(output[1:])


@pytest.mark.parametrize(
    "output", [None, (), [], {}, "x", LOGITS[0], (LOGITS[0], LOGITS), LOGITS.long(), {"a": LOGITS}]
)
def test_no_representation(output):
    assert representation_of(output) is None


def test_the_way_back_to_frame_size():
    assert to_frame_size(LOGITS, (4, 6), (4, 6), (4, 6)) is LOGITS
    upscaled = F.interpolate(LOGITS, (32, 48), mode="bilinear")
    assert torch.equal(to_frame_size(LOGITS, (32, 48), (32, 48), (32, 48)), upscaled)
    assert torch.equal(to_frame_size(LOGITS, (30, 47), (32, 48), (30, 47)), upscaled[..., :30, :47])
    resized = F.interpolate(upscaled[..., :30, :47], (60, 20), mode="bilinear")
    assert torch.equal(to_frame_size(LOGITS, (30, 47), (32, 48), (60, 20)), resized)


def read_by_loop(maps, size, stride, offset):
    """What lies between the places of a map, pixel by pixel."""
    last_row, last_column = maps.shape[-2] - 1, maps.shape[-1] - 1
    read = maps.new_empty(*maps.shape[:2], *size)
    for y, x in np.ndindex(*size):
        row, column = (min(max((at - offset) / stride, 0), end) for at, end in ((y, last_row), (x, last_column)))
        top, left = int(row), int(column)
        (below, right), (down, across) = (
            (min(top + 1, last_row), min(left + 1, last_column)),
            (row - top, column - left),
        )
        upper = (1 - across) * maps[..., top, left] + across * maps[..., top, right]
        lower = (1 - across) * maps[..., below, left] + across * maps[..., below, right]
        read[..., y, x] = (1 - down) * upper + down * lower
    return read


@pytest.mark.parametrize(("stride", "offset"), [(8, 0), (8, 3), (1, 0), (3, 2), (4, -1.5)])
@pytest.mark.parametrize("places", [(4, 6), (1, 1), (1, 3)])
def test_a_grid_reads_probabilities_between_its_places(stride, offset, places):
    logits = 3 * torch.randn(2, 5, *places, dtype=torch.float64)
    padded = tuple(stride * length for length in places)
    frame = padded[0], max(padded[1] - 2, 1)
    expected = read_by_loop(logits.softmax(1), padded, stride, offset)[..., : frame[1]]
    read = to_frame_size(logits, frame, padded, frame, Grid((stride, stride), (offset, offset)))
    torch.testing.assert_close(read.exp(), expected)
    if stride == 8 and places == (4, 6):  # as cells, which is the rule of other networks, or logits: something else
        assert (to_frame_size(logits, frame, padded, frame).softmax(1) - expected).abs().max() > 0.1
        assert (read_by_loop(logits, padded, stride, offset)[..., : frame[1]].softmax(1) - expected).abs().max() > 0.1


def test_probabilities_of_a_grid_in_another_size():
    logits, grid = torch.randn(1, 5, 4, 6), Grid((8, 8))
    expected = F.interpolate(read_by_loop(logits.softmax(1), (32, 48), 8, 0), (60, 20), mode="bilinear")
    torch.testing.assert_close(to_frame_size(logits, (32, 48), (32, 48), (60, 20), grid).exp(), expected)


def test_labels_in_places_are_a_grids_own():
    labels = torch.randint(0, 5, (1, 30, 45), generator=torch.Generator().manual_seed(0))
    logits = 200 * F.one_hot(labels[:, ::8, ::8], 5).permute(0, 3, 1, 2).float()  # probabilities of exactly 0 and 1
    read = to_frame_size(logits, (30, 45), (32, 48), (30, 45), Grid((8, 8)))
    assert read.isfinite().all()
    scores = (logits / 200 * torch.linspace(0, 200, 24).view(4, 6)).requires_grad_()
    wrong = to_frame_size(scores, (30, 45), (32, 48), (30, 45), Grid((8, 8)))
    F.cross_entropy(wrong, 4 - labels, reduction="sum").backward()
    assert scores.grad.isfinite().all()
    assert torch.equal(Task(5).labels(read)[:, ::8, ::8], labels[:, ::8, ::8])
    as_cells = to_frame_size(logits, (30, 45), (32, 48), (30, 45))
    assert not torch.equal(Task(5).labels(as_cells)[:, 4::8, 4::8], Task(5).labels(read)[:, 4::8, 4::8])


@pytest.mark.parametrize("grid", [8, (8, 8), Grid((0.0, 8.0)), "8"])
def test_what_is_no_grid(grid):
    network = tiny()
    network.output_grid = grid
    with pytest.raises(ConfigurationError, match=re.escape(repr(grid))):
        output_grid(network)


@given(
    st.integers(1, 2), st.integers(1, 24), st.integers(1, 7), st.integers(1, 40), st.booleans(), st.integers(1, 4),
    st.sampled_from([torch.float32, torch.bfloat16, torch.float64]), st.integers(0, 5),
)  # fmt: skip
def test_labels_are_argmax(batch, classes, h, w, last, levels, dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randint(0, levels, (batch, classes, h, w), generator=generator).to(dtype)  # full of ties
    if last:
        logits = logits.contiguous(memory_format=torch.channels_last)
    labels = Task(5).labels(logits)
    assert labels.dtype == torch.int64
    assert torch.equal(labels, logits.argmax(1))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_labels_of_what_is_not_finite(value):
    logits = torch.zeros(1, 5, 2, 33)
    logits[:, 3, :, ::3] = value
    assert torch.equal(Task(5).labels(logits), logits.argmax(1))


X = torch.rand(1, 3, 16, 24)


def ones(name, representation):
    return torch.ones_like(representation)


def stop(name, representation):
    raise StopPass


def test_layers_are_seen_in_order_and_can_be_exchanged_inside_the_block_alone():
    net, seen = tiny(), []
    plain = net(X)
    hooks = Hooks(net, ["mid", "stem"])
    with hooks.intercept(lambda name, z: seen.append((name, tuple(z.shape)))):
        assert torch.equal(net(X), plain)
    assert seen == [("stem", (1, 8, 8, 12)), ("mid", (1, 6, 8, 12))]
    with hooks.intercept(ones):
        assert not torch.equal(net(X), plain)
    assert torch.equal(net(X), plain)

    def fail(name, representation):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"), hooks.intercept(fail):
        net(X)
    assert torch.equal(net(X), plain)


def test_other_hooks_on_the_same_network_stay_out_of_it():
    net, seen = tiny(), []
    first, second = Hooks(net, ["stem"]), Hooks(net, ["stem", "mid"])
    with first.intercept(lambda name, z: seen.append(name)):
        net(X)
    with (
        second.intercept(lambda name, z: seen.append(name)),
        first.intercept(lambda name, z: seen.append(f"inner {name}")),
    ):
        net(X)
    assert seen == ["stem", "inner stem"]


def test_another_thread_runs_the_plain_network():
    net = tiny()
    with torch.no_grad():
        plain = net(X)
        with Hooks(net, ["stem"]).intercept(ones), ThreadPoolExecutor(1) as pool:
            assert torch.equal(pool.submit(net, X).result(), plain)


class Careful(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = tiny()

    def forward(self, x):
        try:
            return self.inner(x)
        except Exception:
            return x


def test_no_network_takes_a_stop_for_an_error_of_its_own():
    net = Careful()
    with Hooks(net, ["inner.stem"]).intercept(stop):
        net(X)
        pytest.fail("the network ran to its end")


def test_a_layer_without_a_feature_map_is_named():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(ConfigurationError, match="'1'"), Hooks(net, ["1"]).intercept(ones):
        net(torch.zeros(1, 4))
